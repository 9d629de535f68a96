"""Events folded per second: the user flow against a bare loop of its own fold, and against two peers.

One topic of JSON events on Apache Kafka (50,000 people by Zipf, 10,000 videos that the catalog knows) is
folded from its beginning by each contender in turn, round after round; figures are medians. Each
runs in a process of its own beside Kafka and Redis (append-only file, synced each second), which is
empty at each start. What comes before the first finished batch (start, catalog) is not timed. One run
of the bare loop before all, which warms the broker up, is thrown away.

- headrace: `headrace stream user-state`: whole user state and tower step, durable in Redis, positions
  moved. Timed from its stored positions; afterwards the states must hold every event exactly once.
- bare loop: the same decoder and fold in a plain loop with one MGET, MSET and commit a batch.
- Quix Streams and idiomatic Bytewax do the simpler job of `bench/peers/job.py` on the same events;
  their state is in RocksDB with a changelog topic, and in a SQLite recovery store.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from redis import Redis

from bench._engine import Engine, engine
from bench._events import Crowd, fill, publish
from bench._folding import PHASES, Cost, check_counts, fold, fresh_redis, median
from bench._report import Figure, progress, report
from headrace.servers.tether import tethered

ROOT: Final = Path(__file__).parent.parent
PEERS: Final = ROOT / ".venv-peers" / "bin" / "python"
TIMEOUT_S: Final = 600
OURS, BARE, QUIX, BYTEWAX = "headrace", "bare loop", "Quix Streams", "idiomatic Bytewax"


def bare(running: Engine, events: int) -> Cost:
    """The loop of `bench.peers.bare`; its states are counted too."""
    with fresh_redis(running) as server, Redis.from_url(server.url) as client:
        pids = server.process.pid, running.kafka.process.pid
        before = [running.cpu_s(pid) for pid in pids]
        environ = running.environ | {"HEADRACE_REDIS__URL": server.url}
        said = told([sys.executable, "-m", "bench.peers.bare", str(events)], environ)
        spent = [running.cpu_s(pid) - b for pid, b in zip(pids, before, strict=True)]
        check_counts(client, running, events)
    return _cost(said, spent[0] / events * 1e6, spent[1] / events * 1e6)


def peer(running: Engine, events: int, python: Path | str, module: str, *arguments: str) -> Cost:
    """A peer on the same topic.

    Raises:
        ValueError: it has not seen every event, or the busiest person's state misses some.
    """
    broker = running.kafka.process.pid
    before = running.cpu_s(broker)
    said = told([str(python), "-m", module, running.kafka.bootstrap, "events", *arguments])
    if (said["events"], said["most"]) != (events, Crowd().most(events)):
        raise ValueError(f"{module} has folded {said}, which is not {events} events")
    return _cost(said, 0.0, (running.cpu_s(broker) - before) / said["events"] * 1e6)


def told(command: Sequence[str], environ: Mapping[str, str] | None = None) -> dict[str, Any]:
    """What a process says in its last line, as JSON.

    Raises:
        RuntimeError: it failed; with the end of what it said.
    """
    done = subprocess.run(
        tethered(list(command)),
        env=os.environ if environ is None else environ,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return said


def _cost(said: Mapping[str, Any], redis_us: float, broker_us: float) -> Cost:
    return Cost(
        said["rate"],
        said["worker_us"],
        redis_us,
        broker_us,
        said["batch_events"],
        said["rss_mb"],
        dict.fromkeys(PHASES, 0.0),
    )


def measure(
    running: Engine, events: int, rounds: int, wanted: Sequence[str]
) -> dict[str, list[Cost]]:
    """Every contender in turn, round after round."""
    contenders: dict[str, Callable[[], Cost]] = {
        OURS: lambda: fold(running, events),
        BARE: lambda: bare(running, events),
        QUIX: lambda: peer(running, events, PEERS, "bench.peers.quix", str(events)),
        BYTEWAX: lambda: peer(running, events, sys.executable, "bench.peers.idiomatic"),
    }
    runs: dict[str, list[Cost]] = {name: [] for name in contenders if name in wanted}
    progress("warming the broker up")
    bare(running, events)
    for turn in range(rounds):
        for name, costs in runs.items():
            progress(f"round {turn + 1} of {rounds}: {name}")
            costs.append(contenders[name]())
    return runs


def figures(middle: Mapping[str, Cost]) -> list[Figure]:
    """Rates against each baseline, then what an event costs whom."""
    ours = middle[OURS]
    unit = "events/s"
    out = [Figure("headrace", ours.rate, unit, must=40_000, aim=70_000, more=True)]
    for name, must, aim in ((BARE, 0.5, 0.8), (QUIX, 1.0, 2.0), (BYTEWAX, 2.0, 5.0)):
        if name in middle:
            other = middle[name].rate
            out.append(Figure(name, other, unit))
            out.append(
                Figure(f"headrace / {name}", ours.rate / other, "x", must=must, aim=aim, more=True)
            )
    for name, cost in middle.items():
        out.append(Figure(f"{name}: processor, worker", cost.worker_us, "us/event"))
        out.append(Figure(f"{name}: processor, Redis", cost.redis_us, "us/event"))
        out.append(Figure(f"{name}: processor, broker", cost.broker_us, "us/event"))
        out.append(Figure(f"{name}: largest resident size", cost.rss_mb, "MB"))
    out += [Figure(f"headrace: {p}, wall clock", us, "us/event") for p, us in ours.phases.items()]
    out.append(Figure("headrace: a micro-batch", ours.batch_events, "events"))
    return out


def main(arguments: Sequence[str] = ()) -> None:
    """Fill, measure, print, write."""
    parser = argparse.ArgumentParser(prog="bench.throughput", description=__doc__)
    parser.add_argument("--events", type=int, default=400_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-peers", action="store_true", help="the bare loop only")
    said = parser.parse_args(arguments)
    wanted = (OURS, BARE) if said.no_peers else (OURS, BARE, QUIX, BYTEWAX)
    if not (said.no_peers or PEERS.exists()):
        parser.error("the peers are not installed: run `make peers`, or say --no-peers")
    with engine() as running:
        crowd = Crowd()
        publish(running, crowd)
        fill(running.kafka_settings, crowd, said.events)
        runs = measure(running, said.events, said.rounds, wanted)
    middle = {name: median(each) for name, each in runs.items()}
    title = f"{said.events:,} events, {said.rounds} rounds, medians, {os.cpu_count()} cores"
    rates = {name: [round(run.rate) for run in each] for name, each in runs.items()}
    report("throughput", title, figures(middle), OURS, rates=rates)


if __name__ == "__main__":
    main(sys.argv[1:])
