"""What a ranker is trained on is what it is served: a log replayed through the running flows, and its
archive through the training reader, give the same columns, bit for bit."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from confluent_kafka import Consumer, TopicPartition

from api.hydrators.cosine import Cosine
from api.hydrators.rates import Rates
from api.hydrators.video_facts import VideoFacts
from api.hydrators.viewer_features import ViewerFeatures
from contracts import stats_rows
from contracts.batch import CandidateBatch, Column
from contracts.engine_records import Impression, decode_impression, encode_record
from contracts.events import Event, decode_event, encode_event
from contracts.features import FEATURE_COLUMNS, VIDEO_COLUMNS
from contracts.funnel import Query
from contracts.ids import hash64, hash64_many
from contracts.profiles import Profile, encode_profile
from contracts.settings import ModelSettings, Settings
from contracts.videos import decode_vector
from model_runtime import bundles
from model_runtime.training.examples import read_examples
from model_runtime.training.layout import EVENTS, IMPRESSIONS, PROFILES, SCHEMAS, VIDEOS
from model_runtime.training.log import read_log
from model_runtime.training.writing import Record, row_of
from operators.catalog import Catalog
from operators.nearness import embedding_of
from operators.stats_board import StatsBoard
from streams.topics import create_topics
from tests.integration.running import Deployment, deployment, eventually
from tests.integration.test_other_flows import stored_up_to, table
from tests.training.drawn import ALL, drawn_bundle
from tests.training.logs import events, videos

ONE = b"one partition"  # sums over partitions would depend on their order
CLIPS = videos(30)
NOW_MS = time.time_ns() // 1_000_000
PEOPLE = [
    Profile(f"u{i}", country="DE", language=("de", "en")[i % 2], age=20 + i,
            interests=(("chess",), ("cooking", "travel"), ())[i % 3])
    for i in range(9)
]  # fmt: skip
SURFACES = ("home", "tab_1", "following")


@pytest.fixture(params=["day0", "recurrent"])
def engine(
    settings: Settings, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Deployment]:
    """With the bundle that ships, and with one whose tower reads every context and profile."""
    create_topics(settings.kafka)
    model = ModelSettings(bundle=request.param)
    if request.param == "recurrent":
        drawn_bundle(tmp_path / "registry", "recurrent", CLIPS, ALL)
        model = ModelSettings(bundle="recurrent", registry=str(tmp_path / "registry"))
    with deployment(settings, tmp_path, model) as running:
        yield running


def a_page(n: int, user: str, at_ms: int, clips: Sequence[str]) -> Impression:
    return Impression(
        f"r{n}", user, at_ms, SURFACES[n % 3], "day0", "", "full", "DE", tuple(clips),
        tuple(range(len(clips))), (1.0,) * len(clips),
    )  # fmt: skip


def played(engine: Deployment) -> None:
    """Videos, profiles, pages and events go through the running flows until all is folded."""
    vectors = engine.send_videos(CLIPS)
    engine.start("video-vectors")
    eventually(lambda: engine.folded_up_to(vectors, "video-vectors"), 60)
    engine.start("user-state")
    engine.start("video-stats", HEADRACE_STREAM__FLUSH_EVERY_MS="200")
    told = engine.produce([("profiles", p.user_id.encode(), encode_profile(p)) for p in PEOPLE])
    eventually(lambda: engine.folded_up_to(told), 60)
    rng = np.random.default_rng(5)
    begun_ms = NOW_MS - 3_600_000
    log = [
        Event(e.event_id, e.user_id, e.event_type, begun_ms + i * 7000, e.video_id,
              watch_ms=e.watch_ms, rating=e.rating, duration_ms=20_000 if i % 2 else None,
              context=e.context)
        for i, e in enumerate(events(500, 8, 32, seed=4))
    ]  # fmt: skip
    pages = [
        a_page(n, f"u{n % 7}", begun_ms + n * 1000, [f"v{i}" for i in rng.permutation(30)[:5]])
        for n in range(60)
    ]
    ends = engine.produce([(IMPRESSIONS, ONE, encode_record(page)) for page in pages])
    ends |= engine.produce(
        [(EVENTS, ONE, encode_event(event)) for event in (*log[:40], *log[:20], *log[40:])]
    )
    eventually(lambda: engine.folded_up_to(ends), 60)
    eventually(lambda: stored_up_to(engine, ends), 60)


def archived(engine: Deployment, topic: str) -> list[tuple[int, bytes]]:
    """(the broker's time, value) of every message of the one partition that was written to."""
    consumer = Consumer(
        {"bootstrap.servers": engine.settings.kafka.bootstrap, "group.id": "test.archive"}
    )
    out: list[tuple[int, bytes]] = []
    name = engine.settings.kafka.topic_prefix + topic
    for p in consumer.list_topics(name, timeout=10).topics[name].partitions:
        part = TopicPartition(name, p, 0)
        end = consumer.get_watermark_offsets(part, timeout=10)[1]
        consumer.assign([part])
        seen = 0
        while seen < end:
            for m in consumer.consume(1000, 0.2):
                out.append((m.timestamp()[1], m.value() or b""))
                seen = (m.offset() or 0) + 1
    consumer.close()
    return out


def write_archive(folder: Path, engine: Deployment, probes: Sequence[Impression]) -> None:
    """What an archive of the topics would write, and the pages that are compared."""

    def put(kind: str, records: Sequence[tuple[int | None, Record]]) -> None:
        beside = [{} if at is None else {"arrived_ms": at} for at, _ in records]
        rows = [row_of(r, lambda _: None) | b for (_, r), b in zip(records, beside, strict=True)]
        pq.write_table(pa.Table.from_pylist(rows, SCHEMAS[kind]), folder / f"{kind}.parquet")

    folder.mkdir()
    put(VIDEOS, [(None, video) for video in CLIPS])
    put(PROFILES, [(None, profile) for profile in PEOPLE])
    put(EVENTS, [(at, decode_event(value)) for at, value in archived(engine, "events")])
    pages = [(at, decode_impression(value)) for at, value in archived(engine, "impressions")]
    # A page was served just before the broker had it.
    served = [(at, a_page(i, p.user_id, at, p.video_ids)) for i, (at, p) in enumerate(pages)]
    put(IMPRESSIONS, [*served, *((None, probe) for probe in probes)])


def live_catalog(engine: Deployment, dim: int) -> Catalog:
    catalog = Catalog(dim)
    records = [decode_vector(value) for value in table(engine, "video-vectors").values()]
    vectors = np.array([np.frombuffer(record.vector, "<f4") for record in records])
    places = [(record.source_partition, record.source_offset) for record in records]
    catalog.upsert([record.video for record in records], vectors, places)
    return catalog


async def live_columns(engine: Deployment, probe: Impression) -> dict[str, Column]:
    """The columns that the feed would give its ranker: its own hydrators, over the live state."""
    bundle = bundles.load(engine.model)
    catalog, board = live_catalog(engine, bundle.items.dim), StatsBoard(engine.settings.stats)
    board.apply(stats_rows.decode(list(table(engine, "video-stats").values()))[0])
    stored: Any = engine.redis.get(engine.keys.user(probe.user_id))
    state = None if stored is None else engine.users([probe.user_id])[0]
    query = Query(
        probe.request_id, probe.user_id, probe.at_ms, state=state,
        language=0 if state is None else int(state["language"]), surface=probe.surface,
        embedding=embedding_of(state, bundle),
    )  # fmt: skip
    ids = hash64_many(probe.video_ids)
    batch = CandidateBatch(ids, np.zeros(len(ids), np.uint32), {})
    for hydrator in (VideoFacts(catalog), ViewerFeatures(), Rates(board), Cosine(catalog)):
        batch = batch.with_columns(await hydrator.hydrate(query, batch))
    return {spec.name: batch[spec.name] for spec in (*VIDEO_COLUMNS, *FEATURE_COLUMNS)}


def test_the_columns_of_training_are_those_of_the_running_engine(
    engine: Deployment, tmp_path: Path
) -> None:
    played(engine)
    at_ms = time.time_ns() // 1_000_000 + 5000
    people = [*(f"u{i}" for i in range(9)), "nobody"]
    probes = [a_page(1000 + n, u, at_ms + n, [f"v{i}" for i in range(30)])
              for n, u in enumerate(people)]  # fmt: skip
    write_archive(tmp_path / "archive", engine, probes)
    log = read_log(tmp_path / "archive")
    assert log.repeated == 20
    bundle = bundles.load(engine.model)
    found = read_examples(tmp_path / "archive", log, bundle, stats_every_ms=1000)
    for probe in probes:
        rows = found.shown.request == hash64(probe.request_id)
        for name, live in asyncio.run(live_columns(engine, probe)).items():
            trained = found.columns[name][rows]
            assert trained.dtype == live.dtype
            np.testing.assert_array_equal(trained, live, err_msg=f"{name} of {probe.user_id}")
    some = found.columns
    for name in ("affinity_category", "mean_share", "ctr", "cosine", "session_events"):
        assert len(np.unique(some[name])) > 3, f"{name} says nothing in this test"
    assert len(np.unique(some["surface"])) == len(SURFACES)
