"""Two bundles on the same simulated people: how long each is watched. It says nothing of real people.

The engine's own fold, statistics, index and funnel in one process and on a clock of its own, so that no
busy machine decides: viewers ask for a page of ten in turns, watch, and what they did is folded before they
ask again. Both lives have the same clips, the same people with the same hidden tastes and the same chance
(what a viewer does depends on the clip, so from the first different page on the lives differ). Judged by
seconds watched a clip that was served, beside clips drawn at random; the interval draws viewers anew, each
with both lives. A bundle that learned from these clips has to have learned from other viewers: `headrace
data simulate --first 100000`.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from random import Random
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from api.funnel.funnel import Funnel
from api.funnel.trace import Trace
from api.viewer import Request, context_of
from bench._report import Figure, progress, report
from contracts.errors import HeadraceError
from contracts.events import Event
from contracts.funnel import Query
from contracts.ids import hash64
from contracts.models import Bundle
from contracts.settings import Settings
from headrace.datasets.simulated import events_of
from headrace.environment import read_settings
from headrace.models import judged
from headrace.offline_funnel import funnel_over
from headrace.simulator.behaviour import react, seconds_watched
from headrace.simulator.catalogue import Catalogue
from headrace.simulator.plan import Plan
from headrace.simulator.viewers import new_taste, new_viewer, profile
from headrace.simulator.words import LANGUAGES
from model_runtime.training.log import TOLERANCE_MS
from model_runtime.training.stream_state import StreamState
from operators.event_columns import RawMessages, columns_of
from operators.nearness import embedding_of
from operators.offsets import slot_key

F64 = NDArray[np.float64]
_DRAWS: Final = 2000
_START_MS: Final = 1_700_000_000_000
_TURN_MS: Final = 60_000  # between two pages of a viewer
_CLIPS, _SECONDS, _COMPLETE, _RANDOM = range(4)


class Life:
    """One world with one bundle, from the first page on."""

    def __init__(self, bundle: Bundle, settings: Settings, plan: Plan) -> None:
        self._bundle, self._plan, self._now_ms, self._folded = bundle, plan, _START_MS, 0
        self._catalogue = Catalogue(plan.seed, plan.creators)
        videos = []
        for _ in range(plan.videos):
            traits, video = self._catalogue.make(_START_MS, age_days=20)
            self._catalogue.add(traits)
            videos.append(video)
        numbers = range(plan.first, plan.first + plan.viewers)
        self._chances = [plan.rng("viewer", number) for number in numbers]
        self._random = [plan.rng("random", number) for number in numbers]
        self._viewers = [new_viewer(*both) for both in zip(self._chances, numbers, strict=True)]
        creators = tuple(creator.creator_id for creator in self._catalogue.creators)
        self._tastes = [
            new_taste(chance, viewer.language, creators)
            for chance, viewer in zip(self._chances, self._viewers, strict=True)
        ]
        users = [viewer.user_id for viewer in self._viewers]
        self._state = StreamState(bundle, users, videos, len(videos), settings)
        self._name = dict(zip(self._state.ids.tolist(), (v.video_id for v in videos), strict=True))
        self._place = {int(video): i for i, video in enumerate(self._state.ids.tolist())}
        for i, (viewer, taste) in enumerate(zip(self._viewers, self._tastes, strict=True)):
            self._state.tell(i, profile(viewer, taste, _START_MS))
        self._funnel: Funnel = funnel_over(self._state, settings)
        self.sums = np.zeros((plan.viewers, 4))

    def turn(self) -> None:
        """A page for everybody; statistics are as fresh as the turn before."""
        self._state.flush()
        catalog = self._state.catalog
        self._state.board.refresh(
            self._now_ms, lambda ids: catalog.columns(catalog.rows_of(ids))["category"]
        )
        for who in range(len(self._viewers)):
            at_ms = self._now_ms + who
            page = asyncio.run(self._page(who, at_ms))
            shown = np.array([self._place[video] for video in page.tolist()], np.intp)
            events = list(self._watched(who, [self._name[video] for video in page.tolist()], at_ms))
            at = np.full(len(shown), at_ms)
            self._state.show(np.full(len(shown), who, np.intp), shown, at)
            self._fold(who, events)
        self._now_ms += _TURN_MS

    async def _page(self, who: int, at_ms: int) -> NDArray[np.int64]:
        viewer, state = self._viewers[who], self._state.records[who]
        request_id = f"{at_ms}-{who}"
        asked = Request(country=viewer.country, language=LANGUAGES[viewer.language])
        trace = Trace()
        served = await self._funnel.run(
            Query(
                request_id, viewer.user_id, at_ms, limit=10, state=state,
                embedding=embedding_of(state, self._bundle),
                seed=hash64(request_id) & 0x7FFF_FFFF_FFFF_FFFF, **context_of(state, asked),
            ),
            trace,
        )  # fmt: skip
        if trace.failed:
            raise HeadraceError(f"a part of the funnel failed: {', '.join(trace.failed)}")
        return served.page.ids

    def _watched(self, who: int, page: Sequence[str], at_ms: int) -> list[Event]:
        out = list[Event]()
        for video in page:
            traits = self._catalogue.get(video)
            assert traits is not None
            reaction = react(self._chances[who], self._tastes[who], traits)
            other = self._other(self._random[who], who)
            chance = react(self._random[who], self._tastes[who], other)
            seconds = seconds_watched(reaction, traits), seconds_watched(chance, other)
            self.sums[who] += (1, seconds[0], reaction.complete, seconds[1])
            out += events_of(self._viewers[who], traits, reaction, at_ms)
        # Told at once: a page is watched before the next turn begins.
        return [msgspec.structs.replace(event, timestamp=at_ms) for event in out]

    def _other(self, rng: Random, who: int) -> Any:
        viewer, published = self._viewers[who], self._catalogue.published
        while True:
            traits = published[rng.randrange(len(published))]
            if traits.allowed(viewer.country, viewer.age):
                return traits

    def _fold(self, who: int, events: Sequence[Event]) -> None:
        n, nothing = len(events), [None] * len(events)
        offsets = np.arange(self._folded, self._folded + n)
        arrived = np.array([event.timestamp for event in events], np.int64)
        slots = np.full(n, slot_key(0, "events", 0), np.int64)
        raw = RawMessages(nothing, nothing, slots, offsets, arrived)
        rows = columns_of(events, raw, TOLERANCE_MS).rows
        rows["user"] = who
        self._state.fold(rows)
        self._folded += n


def ratio(one: F64, other: F64) -> tuple[float, float, float]:
    """Of two (n, 2) sums and counts of the same people: of their means, and its central 95 %."""
    rng, n = np.random.default_rng(0), len(one)
    drawn = np.concatenate([np.ones((1, n)), rng.multinomial(n, np.full(n, 1 / n), size=_DRAWS)])
    means = [(drawn @ rows[:, 0]) / (drawn @ rows[:, 1]) for rows in (one, other)]
    ratios = means[0] / means[1]
    low, high = np.quantile(ratios[1:], (0.025, 0.975))
    return float(ratios[0]), float(low), float(high)


def figures_of(names: Sequence[str], lives: Sequence[Life]) -> list[Figure]:
    """The last bundle against the first, and each against clips drawn at random."""
    sums = [life.sums for life in lives]
    out = []
    for what, column, unit in (
        ("watched", _SECONDS, "s a clip"),
        ("completed", _COMPLETE, "share"),
    ):
        value, low, high = ratio(sums[1][:, [column, _CLIPS]], sums[0][:, [column, _CLIPS]])
        was, now = (s[:, column].sum() / s[:, _CLIPS].sum() for s in sums)
        name = f"{names[1]}: {what} ({value:.3f}x, {low:.3f} to {high:.3f})"
        out.append(Figure(name, now, unit, was, names[0], more=True))
    for name, s in zip(names, sums, strict=True):
        value, low, high = ratio(s[:, [_SECONDS, _CLIPS]], s[:, [_RANDOM, _CLIPS]])
        told = f"{name}: against clips by lot ({low:.3f} to {high:.3f})"
        out.append(Figure(told, value, "x", more=True))
    return out


def main(arguments: Sequence[str] = ()) -> None:
    """Live both lives, compare, print the table, write bench/out/ab.json."""
    parser = argparse.ArgumentParser(prog="bench.ab", description=__doc__)
    parser.add_argument("bundle", help="a folder, or an id in the registry")
    parser.add_argument("--against", default="day0")
    parser.add_argument("--viewers", type=int, default=200)
    parser.add_argument("--videos", type=int, default=2000)
    parser.add_argument("--pages", type=int, default=12, help="of each viewer, ten clips each")
    parser.add_argument("--seed", type=int, default=7, help="of the world")
    said = parser.parse_args(arguments)
    settings = read_settings(os.environ)
    plan = Plan(said.viewers, said.videos, seed=said.seed)
    names = (said.against, said.bundle)
    lives = [Life(bundle, settings, plan) for bundle in judged(settings, names).bundles]
    for page in range(said.pages):
        progress(f"page {page + 1} of {said.pages}")
        for life in lives:
            life.turn()
    figures = figures_of(names, lives)
    title = f"{said.viewers} simulated viewers, {said.pages} pages with each bundle"
    report("ab", title, figures, figures[0].what)


if __name__ == "__main__":
    main(sys.argv[1:])
