"""Quix Streams does the simpler job as its manual shows it: a stateful update with a JSON state.

RocksDB and a changelog topic hold the state. `python -m bench.peers.quix BROKER TOPIC EVENTS` in the
environment of the extra `peers`; it prints one line of JSON.
"""

import sys
import tempfile
import uuid
from typing import Any

import numpy as np
from quixstreams import Application, State

from bench.peers import job
from bench.peers.meter import Meter


def main(broker: str, topic: str, events: int) -> None:
    """Fold so many events, and commit."""
    meter, n, most = Meter(), 0, 0

    def update(value: dict[str, Any], state: State) -> None:
        nonlocal n, most
        person = state.get("person") or job.new()
        person["hidden"] = np.array(person["hidden"], np.float32)
        job.apply(
            person,
            value["event_type"],
            int(value["video_id"][1:]),
            value["category"],
            value.get("watch_ms", 0),
            value["timestamp"],
        )
        person["hidden"] = person["hidden"].tolist()
        state.set("person", person)
        n, most = n + 1, max(most, person["events"])
        if n == 1:
            meter.batch(n)

    with tempfile.TemporaryDirectory() as folder:
        app = Application(
            broker_address=broker,
            consumer_group=f"quix-{uuid.uuid4().hex[:8]}",
            auto_offset_reset="earliest",
            state_dir=folder,
            loglevel="WARNING",
            consumer_extra_config={"fetch.queue.backoff.ms": 10},
        )
        source = app.topic(topic, value_deserializer="json", key_deserializer="str")
        app.dataframe(source).update(update, stateful=True)
        app.run(count=events, collect=False)  # returns after its last checkpoint
        meter.batch(n)
    meter.report(most=most)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
