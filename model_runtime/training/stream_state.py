"""The stream's state in memory: the same folds, driven by a log instead of Kafka.

What a ranker is trained on comes out of the code that serves it: records from `UserFold`, rates from
`PartitionStats` and `StatsBoard`, columns from the features' own read side.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.batch import CandidateBatch, Column, Ids
from contracts.features import COSINE
from contracts.ids import hash64_many, pack_name
from contracts.models import Bundle
from contracts.profiles import Profile
from contracts.settings import Settings
from contracts.user_record import new_users, user_dtype
from contracts.videos import Video
from operators.catalog import Catalog
from operators.derive import derive
from operators.event_columns import EventColumns
from operators.features import FEATURES
from operators.features.protocol import Asked
from operators.features.seen import fold_shown
from operators.nearness import cosines, embedding_of
from operators.profile_fold import fold_profile
from operators.stat_columns import stat_events
from operators.stats_board import StatsBoard
from operators.user_fold import UserFold
from operators.video_stats import PartitionStats

_EMBEDDED = 1024


class StreamState:
    """All people, all videos and all statistics of a log, as far as it was folded.

    Args:
        users: ids; events and pages name people by their place in it.
        videos: all that are named; the first `published` are in the catalog, from the beginning.
    """

    def __init__(
        self,
        bundle: Bundle,
        users: Sequence[str],
        videos: Sequence[Video],
        published: int,
        settings: Settings,
    ) -> None:
        self.bundle, self.users, self._settings = bundle, users, settings
        self.catalog = Catalog(bundle.items.dim, capacity=max(published, 1))
        for a in range(0, published, _EMBEDDED):
            some = videos[a : min(a + _EMBEDDED, published)]
            places = [(0, a + i) for i in range(len(some))]
            self.catalog.upsert(some, bundle.items.embed(some), places)
        self.ids: Ids = hash64_many([video.video_id for video in videos])
        self.records = new_users(len(users), user_dtype(bundle.users.hidden, bundle.users.dim))
        derive(self.records, bundle, self.catalog)
        self.there = np.zeros(len(users), np.bool_)  # people of whom a state would be stored by now
        self.board = StatsBoard(settings.stats)
        self._fold = UserFold(bundle, self.catalog, settings.user)
        self._did = PartitionStats("events:0", settings.stats)
        self._shown = PartitionStats("impressions:0", settings.stats)

    def tell(self, user: int, profile: Profile) -> None:
        """What a person told us."""
        fold_profile(self.records[user], profile, self.bundle)
        self.there[user] = True

    def fold(self, rows: NDArray[Any], queries: Mapping[int, str] = MappingProxyType({})) -> None:
        """Fold events in the order of their rows: state and statistics."""
        if not len(rows):
            return
        self._did.fold_events(stat_events(self._named(rows), np.arange(len(rows))))
        self._fold(self.records, EventColumns(rows, self.users, dict(queries)), {}, 0)
        self.there[rows["user"]] = True

    def _named(self, rows: NDArray[Any]) -> EventColumns:
        """The events beside their own people alone: the statistics hash the names of all."""
        people, place = np.unique(rows["user"], return_inverse=True)
        rows = rows.copy()
        rows["user"] = place
        return EventColumns(rows, [self.users[i] for i in people.tolist()], {})

    def show(
        self, users: NDArray[np.intp], items: NDArray[np.integer[Any]], at_ms: NDArray[np.int64]
    ) -> None:
        """Fold what was shown: video i of `items` to person i of `users`."""
        if not len(users):
            return
        self.count_shown(items, at_ms)
        fold_shown(self.records, users, self.ids[items], at_ms, self._settings.user.shown_for_h)
        self.there[users] = True

    def count_shown(self, items: NDArray[np.integer[Any]], at_ms: NDArray[np.int64]) -> None:
        """Count what was shown for the statistics alone: by somebody else's pages."""
        ids = self.ids[items]
        self._shown.fold_impressions(ids, np.zeros(len(ids), np.uint16), at_ms)

    def flush(self) -> None:
        """What the statistics have counted becomes what readers see."""
        for part in (self._did, self._shown):
            changes = part.changed()
            self.board.apply(changes.states)
            self.board.forget(changes.evicted, [part.source] * len(changes.evicted))
            part.saved()

    def columns(
        self, user: int, items: NDArray[np.integer[Any]], now_ms: int, surface: str
    ) -> Mapping[str, Column]:
        """All columns that a ranker may read, of videos `items` beside one person, as of now.

        The names of `contracts.features`: of the video, of both together, and the rates.

        Args:
            surface: where they would be shown.
        """
        state, ids = (self.records[user] if self.there[user] else None), self.ids[items]
        rows = self.catalog.rows_of(ids)
        batch = CandidateBatch(ids, np.zeros(len(ids), np.uint32), self.catalog.columns(rows))
        language = 0 if state is None else int(state["language"])
        asked = Asked(now_ms, language, pack_name(surface))
        both = {f.spec.name: f.values(state, batch, asked) for f in FEATURES}
        unit = embedding_of(state, self.bundle)
        near = COSINE.filled(len(ids)) if unit is None else cosines(self.catalog, rows, unit)
        rates = self.board.rates(ids, now_ms)
        return {**batch.columns, **both, **rates, COSINE.name: near}
