"""Redis, broken in every way that it can be, under a running engine with load on it."""

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis

from headrace.servers.redis import EmbeddedRedis
from tests.faults.conftest import Matrix
from tests.faults.stack import Kafka, Stack, seconds, stack
from tests.faults.traffic import Feeds, Load, until_fresh
from tests.integration.running import eventually

pytestmark = [pytest.mark.faults, pytest.mark.slow]


@pytest.fixture(scope="module")
def engine(
    kafka_factory: Callable[[Path], Kafka], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("redis-faults")
    with (
        kafka_factory(folder) as kafka,
        EmbeddedRedis(folder / "redis") as server,
        stack(kafka, server, folder / "logs") as running,
    ):
        yield running


@dataclass
class Outcome:
    """What one fault under load did."""

    load: Load
    feeds: Feeds
    began: float
    healed: float
    fresh_s: float
    lost: int
    doubled: int

    def rungs(self) -> dict[str, int]:
        return dict(self.feeds.rungs(self.began, self.healed))


def under_load(engine: Stack, name: str, fault: Callable[[], None]) -> Outcome:
    """The fault in the middle of traffic; `fault` returns when it is healed."""
    with Load(engine.url, name) as load, Feeds(engine.url) as feeds:
        time.sleep(1.5)
        began = time.monotonic()
        fault()
        healed = time.monotonic()
        fresh_s = until_fresh(engine.url, f"fresh-{name}")
        time.sleep(1.0)
    assert feeds.failed == []
    assert load.accepted
    after = feeds.rungs(healed + fresh_s)
    assert after["full"], "it climbs back"
    lost, doubled = engine.lost_and_doubled(set(load.accepted), load.users)
    assert (lost, doubled) == (0, 0)
    return Outcome(load, feeds, began, healed, fresh_s, lost, doubled)


def tell(matrix: Matrix, fault: str, out: Outcome) -> None:
    down = out.healed - out.began
    slowest = out.feeds.slowest_ms(out.began)
    refused = f", {len(out.load.refused)} posts refused" if out.load.refused else ""
    matrix.row(
        fault, lost=out.lost, doubled=out.doubled,
        unavailable=f"never: {out.rungs()} in {down:.1f} s, slowest {slowest} ms{refused}",
        stale=f"the fault + {out.fresh_s:.1f} s",
    )  # fmt: skip


def test_stopped_and_started_it_costs_no_event_and_the_feed_answers(
    engine: Stack, matrix: Matrix
) -> None:
    def fault() -> None:
        engine.server.stop()
        time.sleep(10.0)
        engine.server.start()

    out = under_load(engine, "stopped", fault)
    assert out.rungs().get("no_user_state", 0) > 0
    assert out.load.refused == [], "events need Kafka only"
    tell(matrix, "Redis stopped 10 s", out)


def test_frozen_the_feed_answers_from_a_lower_rung_and_climbs_back(
    engine: Stack, matrix: Matrix
) -> None:
    def fault() -> None:
        engine.server.freeze()
        time.sleep(12.0)
        engine.server.thaw()

    out = under_load(engine, "frozen", fault)
    assert out.rungs().get("no_user_state", 0) > 0
    tell(matrix, "Redis frozen 12 s (SIGSTOP)", out)


def test_emptied_under_a_running_flow_it_is_filled_again_from_the_log(
    engine: Stack, matrix: Matrix
) -> None:
    def fault() -> None:
        with redis.Redis.from_url(engine.server.url) as client:
            client.flushall()

    out = under_load(engine, "emptied", fault)
    tell(matrix, "Redis emptied (FLUSHALL)", out)


def test_started_from_an_older_copy_it_is_replayed_forward(
    engine: Stack, matrix: Matrix, tmp_path: Path
) -> None:
    files = engine.log_dir.parent / "redis" / "appendonlydir"

    def fault() -> None:
        shutil.copytree(files, tmp_path / "copy")  # as a backup takes it, under writes
        time.sleep(5.0)
        engine.server.kill()
        shutil.rmtree(files)
        shutil.copytree(tmp_path / "copy", files)
        engine.server.start()

    out = under_load(engine, "older", fault)
    tell(matrix, "Redis started from a copy that is 5 s older", out)


def test_full_it_takes_no_write_the_feed_reads_on_and_nothing_is_lost(
    engine: Stack, matrix: Matrix
) -> None:
    def fault() -> None:
        with redis.Redis.from_url(engine.server.url) as client:
            client.config_set("maxmemory-policy", "noeviction")
            client.config_set("maxmemory", "1mb")
            time.sleep(10.0)
            assert all(process.poll() is None for process in engine.processes), "no flow ended"
            client.config_set("maxmemory", "0")

    out = under_load(engine, "full", fault)
    assert set(out.rungs()) == {"full"}, "reading needs no room"
    assert out.load.refused == []
    tell(matrix, "Redis full 10 s (maxmemory, noeviction)", out)


def test_turned_into_a_replica_it_takes_no_write_until_it_is_a_primary_again(
    engine: Stack, matrix: Matrix, tmp_path: Path
) -> None:
    """A failover: what clients are connected to becomes a replica of the other, then is promoted."""
    with EmbeddedRedis(tmp_path / "other", durable=False) as other:

        def fault() -> None:
            with (
                redis.Redis.from_url(engine.server.url) as client,
                redis.Redis.from_url(other.url) as elsewhere,
            ):
                elsewhere.replicaof("127.0.0.1", str(engine.server.port))
                eventually(lambda: elsewhere.info("replication")["master_link_status"] == "up")
                client.replicaof("127.0.0.1", str(other.port))
                elsewhere.replicaof("NO", "ONE")
                time.sleep(8.0)
                assert all(p.poll() is None for p in engine.processes), "no flow ended"
                client.replicaof("NO", "ONE")

        out = under_load(engine, "replica", fault)
    tell(matrix, "Redis a read-only replica for 8 s", out)


def test_out_of_connections_the_feed_answers_and_the_flow_waits(
    engine: Stack, matrix: Matrix
) -> None:
    def fault() -> None:
        with redis.Redis.from_url(engine.server.url) as client:
            client.config_set("maxclients", 1)
            client.client_kill_filter(skipme=True, _type="normal")
            time.sleep(8.0)
            client.config_set("maxclients", 10_000)

    out = under_load(engine, "clients", fault)
    assert out.rungs().get("no_user_state", 0) > 0
    tell(matrix, "Redis refuses connections for 8 s (maxclients)", out)


def test_an_idle_flow_notices_that_it_was_emptied(engine: Stack, matrix: Matrix) -> None:
    """Nobody sends an event: what was folded has to come back all the same."""
    with Load(engine.url, "idle") as load:
        eventually(lambda: len(load.accepted) >= 100)
    engine.settled()
    names = sorted(load.users)
    before = int(engine.users(names)["events"].sum())
    with redis.Redis.from_url(engine.server.url) as client:
        client.flushall()
    began = time.monotonic()
    eventually(lambda: int(engine.users(names)["events"].sum()) == before, 30, "the states")
    matrix.row(
        "Redis emptied while no event comes", lost=0, doubled=0, unavailable="never",
        stale=f"{seconds(began)} s (looked for every 1 s; by default 30 s)",
    )  # fmt: skip
