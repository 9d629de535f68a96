"""The Bytewax shell around a flow: source -> decode -> sink, one process, stopped by a flag.

Bytewax's own recovery is not used: state and position lie together in Redis, and the sink moves the
position last. Killed anywhere, a flow reads again what it had not finished.
"""

import gc
import logging
import threading
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, Generic, TypeVar

import bytewax.operators as op
import redis
from bytewax._bytewax import run_main
from bytewax.dataflow import Dataflow
from bytewax.inputs import DynamicSource, StatelessSourcePartition
from bytewax.outputs import DynamicSink, StatelessSinkPartition

from contracts.errors import FencedError, UnavailableError
from contracts.metrics import AWAY, FENCED
from streams.batches import Batch
from streams.reader import PartitionReader

_log = logging.getLogger(__name__)
_FIRST_WAIT_S: Final = 0.05
_LONGEST_WAIT_S: Final = 1.0
_COLLECT_AFTER: Final = 50_000  # containers more than there were: some batches' worth
D = TypeVar("D")


class _Partition(StatelessSourcePartition[Batch]):
    """All partitions of this process as one Bytewax partition."""

    def __init__(self, loop: "_Loop[Any]") -> None:
        self._loop = loop

    def next_batch(self) -> list[Batch]:
        if self._loop.stop.is_set():
            raise StopIteration
        if (
            self._loop.in_flight
        ):  # the writer is behind: fetch nothing, librdkafka's queue is bounded
            return []
        batch = self._loop.retry(self._loop.reader.poll)
        self._loop.in_flight = batch is not None
        if batch is None:
            self._loop.when_idle()
        return [] if batch is None else [batch]

    def next_awake(self) -> datetime | None:
        return None


class _Source(DynamicSource[Batch]):
    def __init__(self, loop: "_Loop[Any]") -> None:
        self._loop = loop

    def build(self, step_id: str, worker_index: int, worker_count: int) -> _Partition:
        return _Partition(self._loop)


class _SinkPartition(StatelessSinkPartition[Any]):
    def __init__(self, loop: "_Loop[Any]") -> None:
        self._loop = loop

    def write_batch(self, items: list[Any]) -> None:
        for item in items:
            self._loop.write_one(item)


class _Sink(DynamicSink[Any]):
    def __init__(self, loop: "_Loop[Any]") -> None:
        self._loop = loop

    def build(self, step_id: str, worker_index: int, worker_count: int) -> _SinkPartition:
        return _SinkPartition(self._loop)


class _Loop(Generic[D]):
    """What source and sink share: one batch is under way at a time."""

    def __init__(
        self,
        name: str,
        reader: PartitionReader,
        write: Callable[[D], None],
        idle: Callable[[], None] | None,
        stop: threading.Event,
    ) -> None:
        self.name, self.reader, self.write, self.stop = name, reader, write, stop
        self.idle = idle
        self.in_flight = False

    def write_one(self, item: D) -> None:
        """Write until it is durable; a batch whose position has moved is read again instead."""
        self._fenced(lambda: self.write(item))
        self.in_flight = False

    def when_idle(self) -> None:
        """Nothing came: the writer may flush what it holds."""
        if self.idle is not None:
            self._fenced(self.idle)

    def _fenced(self, action: Callable[[], None]) -> None:
        try:
            self.retry(action)
        except FencedError as e:
            FENCED.labels(self.name).inc()
            _log.warning("%s: %s; reading on from the stored position", self.name, e)
            self.retry(self.reader.rewind)

    def retry(self, action: Callable[[], Any]) -> Any:
        """`action()`, again and again while a service is away; None once the flow has to stop."""
        wait_s = _FIRST_WAIT_S
        while not self.stop.is_set():
            try:
                done = action()
            except (UnavailableError, redis.RedisError) as e:
                if isinstance(e, redis.ResponseError) and not _may_pass(e):
                    raise
                self.reader.outage.begin()
                whose = "Redis: " if isinstance(e, redis.RedisError) else ""
                _log.warning("%s waits: %s%s", self.name, whose, e)
                self.stop.wait(wait_s)
                wait_s = min(wait_s * 2, _LONGEST_WAIT_S)
            else:
                if wait_s > _FIRST_WAIT_S:
                    self.reader.outage.end()
                return done
        return None


# The client cuts some codes off the text and makes types of them; an old server's script keeps them.
_PASSING_TYPES: Final = (
    redis.OutOfMemoryError, redis.ReadOnlyError, redis.exceptions.MasterDownError,
    redis.exceptions.ClusterDownError, redis.exceptions.TryAgainError,
)  # fmt: skip
_PASSING_CODES: Final = ("OOM", "READONLY", "BUSY", "LOADING", "MISCONF", "NOREPLICAS")


def _may_pass(error: redis.ResponseError) -> bool:
    """Whether Redis may take the same command later: it is full, loading, or a replica for now."""
    text = str(error)
    return isinstance(error, _PASSING_TYPES) or any(code in text for code in _PASSING_CODES)


def _settle_garbage() -> None:
    """Keep the collector's pauses out of the batches.

    What start-up made, compiled code and a catalog too, lives as long as the process: a look at all
    of it takes 0.1 s. A batch holds no cycles; looked at every 700 messages, as is usual, it would
    only become older in the collector's eyes.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER, 10, 10)


def run_flow(
    name: str,
    reader: PartitionReader,
    decode: Callable[[Batch], D],
    write: Callable[[D], None],
    stop: threading.Event,
    idle: Callable[[], None] | None = None,
) -> None:
    """Run one flow until `stop` is set; what was fetched and not written is read again next time.

    Delivery: `write` is called at least once for every batch, in order, and is retried while Kafka
    or Redis is away. It is `write` that makes the effect exactly-once. `idle` is called while nothing
    comes.
    """
    loop = _Loop(name, reader, write, idle, stop)
    AWAY.labels(name).set_function(reader.outage.seconds)
    loop.retry(reader.open)
    _settle_garbage()
    flow = Dataflow(name.replace("-", "_"))
    batches = op.input("kafka", flow, _Source(loop))
    op.output("state", op.map("decode", batches, decode), _Sink(loop))
    try:
        run_main(flow)  # type: ignore[no-untyped-call]
    finally:
        reader.close()
