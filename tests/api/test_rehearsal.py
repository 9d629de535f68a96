"""After the rehearsal a feed compiles and loads nothing. In a process of its own: ours has compiled."""

import subprocess
import sys

_FEEDS = """
import asyncio, gc
from numba.core.dispatcher import Dispatcher
from api.engine import Engine
from api.rehearsal import rehearse
from api.viewer import Request
from tests.api.worlds import busy_world

def compiled():
    found = [d for d in gc.get_objects() if isinstance(d, Dispatcher)]
    return {(d.py_func.__module__, d.py_func.__name__, len(d.signatures)) for d in found}

deps = busy_world().deps
rehearse(deps)
assert len(compiled()) > 5
asyncio.run(deps.users.get("ann"))  # this world folds its events when it is asked
before = compiled()
for user in ("ann", "nobody"):
    served = asyncio.run(Engine(deps).serve("feed", Request(user_id=user, country="DE")))
    assert len(served.page.items) == 20 and not served.answer.trace.failed
print(sorted(compiled() - before))
"""


def test_the_first_feed_finds_everything_compiled() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", _FEEDS], capture_output=True, text=True, timeout=300, check=False
    )
    assert (ran.returncode, ran.stdout) == (0, "[]\n"), ran.stderr
