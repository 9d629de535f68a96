"""Another bundle goes live while viewers ask: nothing fails, nothing is mixed, and back is one step."""

import os
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from contracts.errors import BundleError
from contracts.settings import KafkaSettings, ModelSettings, Settings
from contracts.videos import decode_vector
from model_runtime import bundles
from model_runtime.day0 import WEIGHTS
from model_runtime.manifest import MANIFEST, read_manifest
from streams.models_topic import read_models
from tests.faults.logs import read_log
from tests.integration.promoting import TUNED, VIDEOS, Answer, Box
from tests.integration.running import eventually

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.timeout(420)]


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory, kafka_bootstrap: str) -> Iterator[Box]:
    made = Box(tmp_path_factory.mktemp("promotion") / "state", kafka_bootstrap)
    made.fill()
    yield made
    made.stop()


def whole(answers: Sequence[Answer]) -> None:
    """No request failed, none was degraded, and each answer is of one bundle through and through."""
    assert answers
    assert {a.status for a in answers} == {200}
    assert {a.degraded for a in answers} == {None}
    for answer in answers:
        assert answer.tokens == {answer.bundle}
        assert len(answer.videos) == 10


def test_a_promotion_under_load_fails_no_request_and_mixes_no_bundles(box: Box) -> None:
    box.alone("day0")
    failed = box.metric("headrace_step_failed_total")
    with box.asked() as answers:
        done = box.models("promote", "small")
        assert done.returncode == 0, done.stderr
        time.sleep(0.5)
    whole(answers)
    seen = [a.bundle for a in answers]
    assert (seen[0], seen[-1]) == ("day0", "small")
    assert box.live() == {"small"}
    # Vectors of 32 numbers against an index of 64 raise: a component that had mixed them has failed.
    assert box.metric("headrace_step_failed_total") == failed
    assert "small is live everywhere" in done.stdout


def test_a_rollback_is_one_step_and_makes_no_vector_again(box: Box) -> None:
    box.alone("day0")
    assert box.models("promote", "tuned").returncode == 0
    made = box.metric("headrace_vectors_total", what="repeated")
    with box.asked() as answers:
        done = box.models("rollback")
        assert done.returncode == 0, done.stderr
        time.sleep(0.5)
    whole(answers)
    assert answers[-1].bundle == "day0"
    assert box.live() == {"day0"}
    assert box.metric("headrace_vectors_total", what="repeated") == made


def test_what_is_published_is_listed_announced_and_compared(box: Box, tmp_path: Path) -> None:
    (tmp_path / "numbers.json").write_text('{"dim": 32, "text": {"category": 2.0}}')
    done = box.models("publish", str(tmp_path / "numbers.json"), "--id", "mine")
    assert done.returncode == 0, done.stderr
    listed = box.models("list").stdout
    assert all(name in listed for name in ("day0", "mine", "small", "tuned"))
    kafka = KafkaSettings(bootstrap=box.addresses["kafka"], topic_prefix=box.prefix)
    said = read_models(kafka, 30).published["mine"]
    assert (said.kind, said.dim) == ("day0", 32)
    assert said.seal == read_manifest(box.registry, "mine").seal
    assert "dim" in box.models("diff", "day0", "mine").stdout
    assert "nothing but their ids" in box.models("diff", "mine", "mine").stdout
    again = box.models("publish", str(tmp_path / "numbers.json"), "--id", "small")
    assert again.returncode == 1
    assert "is there already" in again.stderr


def test_nothing_is_left_to_roll_back_to_once_it_was_let_go(box: Box) -> None:
    box.alone("day0")
    done = box.models("rollback")
    assert done.returncode == 1
    assert "nothing is held beside day0" in done.stderr


def test_events_are_folded_once_and_seen_by_the_next_feed_while_bundles_change(box: Box) -> None:
    box.alone("day0")
    user, before = "viewer1", box.watched("viewer1")
    promotion, posted = box.begin("promote", "small"), 0
    while promotion.poll() is None or posted < 5:
        video = f"v{100 + posted}"
        position = box.watch(user, video, f"during-{time.time_ns()}")
        posted += 1
        answer = box.feed(user, after=position, limit=50)
        assert answer.status == 200
        assert video not in answer.videos, "the feed that asks for the event has it"
        time.sleep(0.2)
    assert promotion.returncode == 0
    assert box.watched(user) == before + posted


def test_the_user_flow_goes_over_last_and_states_are_derived_again_beside_it(box: Box) -> None:
    box.alone("day0")
    before = box.metric("headrace_bundle_switches_total")
    assert box.models("promote", "small").returncode == 0
    # Two workers, the vector flow and the user flow.
    eventually(
        lambda: box.metric("headrace_bundle_switches_total") - before == 4, 90, "all to go over"
    )
    log = (box.folder / "logs" / "user-state.log").read_text
    eventually(lambda: "people warmed for small" in log(), 60, "the states to be warmed")
    assert box.models("rollback").returncode == 0


def test_what_is_published_changed_or_removed_meanwhile_is_right_in_the_new_bundle(
    box: Box,
) -> None:
    box.alone("day0")
    with box.asked(1) as answers:
        promotion = box.promotion("small")
        box.remove(7)
        box.video(8, "opera")
        box.video(VIDEOS + 1, "opera")
        box.producer.flush(30)
        assert promotion.wait(150) == 0
    whole(answers)
    assert box.live() == {"small"}
    assert not box.known(7)
    assert box.known(VIDEOS + 1)
    titles = box.http.get("/v1/recommendations/similar", params={"video_id": f"v{VIDEOS + 1}"})
    assert titles.json()["items"][0]["title"] == "opera clip 8"
    for key, versions in versions_on_the_log(box).items():
        assert versions[-1] == max(versions), f"an older version of {key!r} is the last word"
    box.video(7)
    box.producer.flush(30)
    eventually(lambda: box.known(7), 60, "a video that is published anew")


def versions_on_the_log(box: Box) -> dict[bytes, list[tuple[int, int]]]:
    """Of each video the versions that `video-vectors` has, in the order of the log."""
    kafka = KafkaSettings(bootstrap=box.addresses["kafka"], topic_prefix=box.prefix)
    found: dict[bytes, list[tuple[int, int]]] = {}
    for messages in read_log(Settings(kafka=kafka), "video-vectors").values():
        for m in messages:
            key, value = m.key(), m.value()
            assert isinstance(key, bytes)
            if value is None:
                source = dict(cast(Any, m.headers()))["source"].decode()
                partition, offset = map(int, source.split(":"))
                version = partition, offset
            else:
                record = decode_vector(value)
                version = record.source_partition, record.source_offset
            found.setdefault(key, []).append(version)
    return found


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (lambda folder: (folder / WEIGHTS).write_bytes(b"{}"), "has 2 of"),
        (lambda folder: (folder / MANIFEST).unlink(), "has no manifest.json"),
        (lambda folder: (folder / MANIFEST).write_bytes(b'{"layout": 3}'), "layout 3"),
    ],
)
def test_a_torn_bundle_is_refused_before_anybody_hears_of_it(
    box: Box, tmp_path: Path, harm: object, reason: str
) -> None:
    live = box.live()
    name = f"torn-{time.time_ns()}"
    bundles.publish_day0(box.registry, name, TUNED)
    assert callable(harm)
    harm(Path(str(box.registry)) / name)
    done = box.models("promote", name)
    assert done.returncode == 1
    assert reason in done.stderr
    assert box.live() == live


def test_a_bundle_that_only_the_processes_refuse_is_withdrawn_with_their_reason(
    box: Box, tmp_path: Path
) -> None:
    """The command finds it whole, in a copy of the registry; the processes find what is left of it."""
    live = box.live()
    name = f"lost-{time.time_ns()}"
    bundles.publish_day0(tmp_path / "registry", name, TUNED)
    with pytest.raises(BundleError):
        bundles.load(ModelSettings(registry=str(box.registry)), name)
    with box.asked(1) as answers:
        sandbox = box.folder / "sandbox.json"
        told = sandbox.read_text()
        try:
            sandbox.write_text(told.replace(str(box.registry), str(tmp_path / "registry")))
            done = box.models("promote", name)
        finally:
            sandbox.write_text(told)
    assert done.returncode == 1
    assert "refuses it" in done.stderr
    assert "has no manifest.json" in done.stderr
    whole(answers)
    assert {a.bundle for a in answers} == live == box.live()
    assert name not in box.models("list").stdout


@pytest.mark.faults
@pytest.mark.slow
@pytest.mark.parametrize("victim", ["api worker", "api", "user-state", "video-vectors", "command"])
def test_whoever_is_killed_in_the_middle_of_a_promotion_one_bundle_is_live_in_the_end(
    box: Box, victim: str
) -> None:
    box.alone("day0")
    promotion = box.promotion("small")
    time.sleep(0.5)
    if victim == "command":
        pid = promotion.pid
    elif victim == "api worker":
        pid = box.worker()
    else:
        pid = box.pid_of(*{"api": ("headrace", "serve")}.get(victim, ("stream", victim)))
    os.kill(pid, signal.SIGKILL)
    code = promotion.wait(150)
    if victim == "command":
        assert code == -signal.SIGKILL
        assert box.live() == {"day0"}
        assert box.models("promote", "small").returncode == 0
    else:
        assert code == 0
    eventually(lambda: _answers(box) == {"small"}, 90, "one live bundle")
    n = box.watched("viewer2")
    box.watch("viewer2", "v50", f"after-{time.time_ns()}")
    eventually(lambda: box.watched("viewer2") == n + 1, 90, "an event to be folded")
    with box.asked() as answers:
        time.sleep(1.0)
    whole(answers)
    assert {a.bundle for a in answers} == {"small"}


def _answers(box: Box) -> set[str]:
    try:
        return box.live()
    except httpx.TransportError:  # killed, and not there again yet
        return set()
