"""What a feed cannot do without, and nothing else: the floor that the funnel is held against.

One read of Redis and its unpacking, one query of the index's structure (cells or HNSW), gathers of
facts, vectors and counts of the candidates, the ranker, MMR: each on the data that the engine has, called
as directly as numpy and the structure allow.
"""

import time
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from redis import Redis

from api.rerankers.mmr import mmr
from bench._catalog import BigCatalog
from contracts.batch import CandidateBatch
from contracts.settings import FeedSettings, IndexSettings
from contracts.user_record import user_dtype
from index_updater.generation import capacity_for, structure
from index_updater.snapshot import graph_file
from index_updater.snapshot_files import current
from operators.blobs import from_blobs
from streams.keys import Keys

CANDIDATES: Final = 500
PARTS: Final = ("redis", "index", "gathers", "ranker", "mmr")


@dataclass
class Kernels:
    """The same size, effort and rows as the engine that booted from the catalog's snapshot."""

    big: BigCatalog
    client: Redis
    keys: Keys
    limit: int = 20

    def __post_init__(self) -> None:
        where = current(self.big.snapshot)
        assert where is not None
        dim = self.big.bundle.items.dim
        settings, rows = IndexSettings(), len(np.load(where / "index.ids.npy", "r"))
        file = where / graph_file(settings)
        self._graph = structure(settings)(dim, capacity_for(rows), settings, file)
        self._graph.ef = self.ef = max(settings.ef_search, int(np.load(where / "index.ef.npy")[0]))
        self._records = np.array(np.load(where / "catalog.records.npy"))
        self._halves = np.array(np.load(where / "catalog.halves.npy"))
        self._counts = np.random.default_rng(1).random((len(self._records), 5), np.float32)
        self._users = user_dtype(self.big.bundle.users.hidden, self.big.bundle.users.dim)
        rng = np.random.default_rng(2)
        names = self.big.bundle.ranker.features
        self._columns = {name: rng.random(CANDIDATES, np.float32) for name in names}
        self._feed = FeedSettings()

    def one(self, user_id: str) -> list[float]:
        """Seconds of each of `PARTS`, for one viewer.

        Raises:
            LookupError: the viewer is not in Redis.
        """
        at = [time.perf_counter()]
        blob: Any = self.client.get(self.keys.user(user_id))
        state = from_blobs([blob], self._users)[0]
        at.append(time.perf_counter())
        if blob is None:
            raise LookupError(user_id)
        remembered = int(state["watched_n"].sum()) + int(state["shown_n"].sum())
        wanted = self._feed.two_tower + min(remembered, self._feed.two_tower)
        query = state["vector"].astype(np.float32)
        started = time.perf_counter()
        labels, _ = self._graph.search(query, wanted)
        at.append(time.perf_counter() - started + at[-1])
        rows = np.resize(labels.astype(np.intp), CANDIDATES)
        started = time.perf_counter()
        self._records.take(rows)
        vectors = self._halves.take(rows, axis=0).astype(np.float32)
        self._counts.take(rows, axis=0)
        cosine = vectors @ query
        at.append(time.perf_counter() - started + at[-1])
        columns = MappingProxyType({**self._columns, "cosine": cosine})
        batch = CandidateBatch(rows.astype(np.int64), np.ones(len(rows), np.uint32), columns)
        started = time.perf_counter()
        self.big.bundle.ranker.predict(batch)
        at.append(time.perf_counter() - started + at[-1])
        relevance = np.linspace(1, 0, CANDIDATES, dtype=np.float32)
        started = time.perf_counter()
        mmr(relevance, vectors[: 4 * self.limit], self.limit, self._feed.mmr_lambda)
        at.append(time.perf_counter() - started + at[-1])
        return np.diff(at).tolist()
