"""Bytewax does the simpler job as its manual shows it: its Kafka source, `stateful_map`, a recovery store.

`python -m bench.peers.idiomatic BROKER TOPIC`; it reads the topic to its end and prints one line
of JSON.
"""

import sys
import tempfile
from datetime import timedelta
from typing import Any, Final

import bytewax.operators as op
import msgspec
from bytewax.connectors.kafka import KafkaSource
from bytewax.dataflow import Dataflow
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.testing import cluster_main

from bench.peers import job
from bench.peers.meter import Meter

_EPOCH: Final = timedelta(seconds=10)  # Bytewax's own default


class Event(msgspec.Struct, gc=False):
    """What the job needs of an event."""

    user_id: str
    video_id: str
    event_type: str
    timestamp: int
    category: int
    watch_ms: int = 0


Folded = tuple[str, int]  # person, events of that person so far


class Counting(StatelessSinkPartition[Folded]):
    """The end of the flow: counts."""

    def __init__(self, meter: Meter) -> None:
        self._meter, self.most = meter, 0

    def write_batch(self, items: list[Folded]) -> None:
        self.most = max(self.most, *(events for _, events in items))
        self._meter.batch(self._meter.n + len(items))


class Counts(DynamicSink[Folded]):
    """A sink of one partition, which `part` keeps."""

    def __init__(self, meter: Meter) -> None:
        self.part = Counting(meter)

    def build(self, step_id: str, worker_index: int, worker_count: int) -> Counting:
        return self.part


_decode = msgspec.json.Decoder(Event).decode


def parse(message: Any) -> Event:
    """A message of Bytewax's Kafka source."""
    return _decode(message.value)


def fold(state: job.State | None, event: Event) -> tuple[job.State, int]:
    """The state after the event, and how many events it has seen."""
    state = state or job.new()
    job.apply(
        state,
        event.event_type,
        int(event.video_id[1:]),
        event.category,
        event.watch_ms,
        event.timestamp,
    )
    return state, state["events"]


def main(broker: str, topic: str) -> None:
    """Fold the topic to its end; the last epoch is stored when the flow returns."""
    meter = Meter()
    sink, flow = Counts(meter), Dataflow("peer")
    source = KafkaSource([broker], [topic], tail=False, add_config={"fetch.queue.backoff.ms": "10"})
    events = op.map("parse", op.input("in", flow, source), parse)
    keyed = op.key_on("person", events, lambda event: event.user_id)
    op.output("out", op.stateful_map("fold", keyed, fold), sink)
    with tempfile.TemporaryDirectory() as folder:
        init_db_dir(folder, 1)  # type: ignore[no-untyped-call]
        config = RecoveryConfig(folder)  # type: ignore[no-untyped-call]
        cluster_main(flow, [], 0, epoch_interval=_EPOCH, recovery_config=config)  # type: ignore[no-untyped-call]
    meter.batch(meter.n)
    meter.report(most=sink.part.most)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
