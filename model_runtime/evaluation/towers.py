"""A bundle's towers as a recommender: states step event by event, as in the stream."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts.models import F32, Bundle, StepInputs
from contracts.videos import Video
from model_runtime.evaluation.queries import Queries
from model_runtime.evaluation.world import Ints, World

_EMBEDDED: Final = 1024


class Towers:
    """The nearest videos to the person's vector, exactly; all alike for a person without one.

    Vectors are those that the engine would hold: half precision, as in a record and in the catalog.
    """

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self.name = f"bundle {bundle.id}"

    def prepare(self, world: World, queries: Queries, learned: NDArray[np.bool_]) -> None:
        """Nothing is learned: step the states to where the queries need them."""
        self.vectors = embedded(self._bundle, world.log.videos, world.log.published)
        self._asked, self._people = vectors_at(self._bundle, world, self.vectors, queries)

    def scores(self, queries: Queries) -> F32:
        """(q, m) cosines."""
        return self.people(queries) @ self.vectors.T

    def people(self, queries: Queries) -> F32:
        """(q, d) vectors of the people, as far as each query sees them."""
        keys = _keys(queries.user, queries.visible)
        found: F32 = self._people[np.searchsorted(self._asked, keys)]
        return found


def embedded(bundle: Bundle, videos: Sequence[Video], published: int) -> F32:
    """(m, d) as the catalog holds them; zero for videos that it does not know."""
    out = np.zeros((len(videos), bundle.items.dim), np.float32)
    for start in range(0, published, _EMBEDDED):
        end = min(start + _EMBEDDED, published)
        out[start:end] = bundle.items.embed(videos[start:end])
    return _half(out)


def vectors_at(bundle: Bundle, world: World, items: F32, queries: Queries) -> tuple[Ints, F32]:
    """The person's vector at each state that a query sees: sorted keys (person, events), (k, d).

    All people step at once, round by round, with the bundle's own step.
    """
    asked = np.unique(_keys(queries.user, queries.visible))
    user, visible = asked >> 32, asked & 0xFFFF_FFFF
    people, most = np.unique(user), int(visible.max(initial=0))
    needed = np.zeros(len(world.people), np.int64)
    np.maximum.at(needed, user, visible)
    order = people[np.argsort(-needed[people], kind="stable")]  # those with most events first
    place = np.empty(len(world.people), np.int64)
    place[order] = np.arange(len(order))
    state = _begun(bundle, world, order)
    out = np.zeros((len(asked), bundle.users.dim), np.float32)
    by_round = np.argsort(visible, kind="stable")
    edges = np.searchsorted(visible[by_round], np.arange(most + 2))
    for step in range(most + 1):
        wanted = by_round[edges[step] : edges[step + 1]]
        if len(wanted):
            out[wanted] = bundle.users.read_out(state[place[user[wanted]]])
        active = order[: int(np.searchsorted(-needed[order], -step, "left"))]
        if len(active):
            event = world.people.offsets[active] + step
            state[: len(active)] = bundle.users.step(
                state[: len(active)], _inputs(bundle, world, items, event)
            )
    return asked, _half(out)


def _begun(bundle: Bundle, world: World, users: Ints) -> F32:
    """(u, hidden) states of people who did nothing yet, but may have told us something."""
    people = world.people
    taste = np.zeros((len(users), bundle.users.dim), np.float32)
    told = np.flatnonzero(people.profile["interests"][users].any(axis=1))
    if len(told):
        profiles = (world.log.profiles[people.users[user]] for user in users[told].tolist())
        taste[told] = bundle.items.embed_texts([" ".join(p.interests) for p in profiles])
    return np.array(bundle.users.init(people.profile[users], taste), np.float32)


def _inputs(bundle: Bundle, world: World, items: F32, event: Ints) -> StepInputs:
    people = world.people
    item = people.item[event]
    vectors = items[np.maximum(item, 0)]
    vectors[item < 0] = 0
    moments = people.moment[event] if bundle.users.context else None
    return StepInputs(
        vectors, people.action[event], people.share[event], people.gap_s[event], moments
    )


def _keys(user: Ints, visible: Ints) -> Ints:
    return (user << 32) | visible


def _half(vectors: F32) -> F32:
    return vectors.astype(np.float16).astype(np.float32)
