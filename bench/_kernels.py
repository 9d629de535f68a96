"""What a feed cannot do without, and nothing else: the floor that the funnel is held against.

One read of Redis and its unpacking, one query of the graph, gathers of facts, vectors and counts of
the candidates, the ranker, MMR: each on the data that the engine has, called as directly as numpy and
hnswlib allow.
"""

import time
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import hnswlib
import numpy as np
from redis import Redis

from api.rerankers.mmr import mmr
from bench._catalog import BigCatalog
from contracts.batch import CandidateBatch
from contracts.settings import FeedSettings, IndexSettings
from contracts.user_record import user_dtype
from index_updater.snapshot_files import current
from operators.blobs import from_blobs
from streams.keys import Keys

CANDIDATES: Final = 500
PARTS: Final = ("redis", "hnsw", "gathers", "ranker", "mmr")


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
        self._graph = hnswlib.Index("ip", dim)
        self._graph.load_index(str(where / "graph.bin"))
        self.ef = max(IndexSettings().ef_search, int(np.load(where / "index.ef.npy")[0]))
        self._graph.set_ef(self.ef)
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
        labels, _ = self._graph.knn_query(query, k=wanted, num_threads=1)
        at.append(time.perf_counter() - started + at[-1])
        rows = np.resize(labels[0].astype(np.intp), CANDIDATES)
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
