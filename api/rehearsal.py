"""One feed for nobody before the first request: its loops are compiled, or loaded, by then."""

import asyncio
import threading
from typing import Final

import numpy as np

from api.dependencies import Dependencies
from api.engine import Engine
from api.funnel.trace import Trace
from api.viewer import Request, Viewer
from contracts.events import Action
from contracts.user_record import new_users, user_dtype
from model_runtime import halves

_PATIENCE_S: Final = 120.0  # a machine without compiled code on its disk takes some seconds


def rehearse(deps: Dependencies) -> None:
    """Run the personal funnel once; nothing of it is served, counted or sent."""
    # In a thread, for the one that calls may be running a loop already.
    thread = threading.Thread(target=lambda: asyncio.run(_feed(Engine(deps))), name="rehearsal")
    thread.start()
    thread.join(_PATIENCE_S)


async def _feed(engine: Engine) -> None:
    halves.compile_now()  # a state of another bundle is derived anew when it is read
    users = engine.deps.bundle.users
    state = new_users(1, user_dtype(users.hidden, users.dim))[0]
    newest = engine.deps.catalog.newest(1)
    if len(newest):  # somebody who liked it
        state["hist_n"], state["hist_video"][0] = 1, newest[0]
        state["hist_action"][0] = int(Action.LIKE)
    query = engine.query(Request(), Viewer(state), np.empty(0, np.uint32))
    await engine.ladders["feed"].first.run(query, Trace())
