"""The registry over any file system: what is published exists as a whole, or not at all."""

import hashlib
import multiprocessing
import os
import signal
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from contracts.errors import BundleError
from contracts.settings import ModelSettings
from contracts.videos import Video
from model_runtime import bundles, manifest, publishing
from model_runtime.day0 import WEIGHTS, Day0
from model_runtime.item_tower import TextWeights
from model_runtime.store import Store

TUNED = Day0(text=TextWeights(category=3.0))
SMALL = Day0(dim=32)
ONE = Video(video_id="v", published_at=1, title="pasta", category="cooking")


@pytest.fixture(params=["folder", "file", "memory"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A new store, through each kind of address."""
    where = {
        "folder": str(tmp_path / "store"),
        "file": f"file://{tmp_path / 'store'}",
        "memory": f"memory://{uuid.uuid4().hex}",
    }
    return where[request.param]


def load(url: str, bundle: str) -> Any:
    return bundles.load(ModelSettings(registry=url), bundle)


def test_every_store_gives_back_what_was_published(url: str) -> None:
    bundles.publish_day0(Store(url), "tuned", TUNED, metrics={"ndcg": 0.12}, training={"lr": 1e-3})
    bundles.publish_day0(Store(url), "small", SMALL)
    assert Store(url).folders() == ["small", "tuned"]
    found = manifest.read_manifest(Store(url), "tuned")
    assert (found.metrics, found.training) == ({"ndcg": 0.12}, {"lr": 1e-3})
    np.testing.assert_array_equal(
        load(url, "tuned").items.embed([ONE]), TUNED.bundle("tuned").items.embed([ONE])
    )
    assert load(url, "small").items.embed([ONE]).shape == (1, 32)


def test_a_store_that_was_never_written_to_is_empty(url: str) -> None:
    assert Store(url).folders() == []
    with pytest.raises(BundleError, match="has no manifest"):
        load(url, "tuned")


def test_the_same_bundle_twice_is_one_bundle_and_another_one_under_its_id_is_refused(
    url: str,
) -> None:
    first = bundles.publish_day0(Store(url), "tuned", TUNED, published_ms=1)
    again = bundles.publish_day0(Store(url), "tuned", TUNED, published_ms=2)
    assert again == first
    with pytest.raises(BundleError, match="is there already"):
        bundles.publish_day0(Store(url), "tuned", SMALL)
    assert load(url, "tuned").users.dim == 64


def test_what_breaks_off_before_the_manifest_is_no_bundle_and_can_be_published_again(
    url: str,
) -> None:
    Store(url).write("tuned", WEIGHTS, b"half of the num")
    with pytest.raises(BundleError, match="has no manifest"):
        load(url, "tuned")
    Store(url).write("tuned", manifest.MANIFEST, b'{"id": "tun')
    with pytest.raises(BundleError, match="manifest cannot be read"):
        load(url, "tuned")
    bundles.publish_day0(Store(url), "tuned", TUNED)
    assert load(url, "tuned").id == "tuned"


def test_a_newer_release_s_bundle_is_never_overwritten(url: str) -> None:
    Store(url).write("tuned", manifest.MANIFEST, b'{"layout": 3, "something": "new"}')
    with pytest.raises(BundleError, match="layout 3"):
        bundles.publish_day0(Store(url), "tuned", TUNED)


def test_a_manifest_of_layout_1_is_still_read(url: str) -> None:
    """As the first release wrote it: fewer fields, sealed over those."""
    built, content = TUNED.bundle("old"), msgspec.json.encode(TUNED)
    fields = {
        "id": "old", "kind": "day0", "layout": 1, "dim": 64, "hidden": 64,
        "features": list(built.ranker.features),
        "files": {
            WEIGHTS: {
                "size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()
            }
        },
        "seal": "",
    }  # fmt: skip
    seal = hashlib.sha256(msgspec.json.encode(fields, order="sorted")).hexdigest()
    Store(url).write("old", WEIGHTS, content)
    Store(url).write("old", manifest.MANIFEST, msgspec.json.encode(fields | {"seal": seal}))
    assert load(url, "old").id == "old"
    torn = msgspec.json.encode(fields | {"seal": seal, "dim": 32})
    Store(url).write("old", manifest.MANIFEST, torn)
    with pytest.raises(BundleError, match="was changed"):
        load(url, "old")


def _publish_for_ever(url: str) -> None:
    big = {"weights.bin": bytes(1 << 20), WEIGHTS: msgspec.json.encode(Day0())}
    features = Day0().bundle().ranker.features
    n = 0
    while True:
        manifest.write(Store(url), f"b{n}", "day0", dim=64, hidden=64, features=features, files=big)
        n += 1


@pytest.mark.faults
def test_a_publisher_killed_at_any_moment_leaves_whole_bundles_and_at_most_one_that_is_none(
    tmp_path: Path,
) -> None:
    for attempt in range(5):
        url = str(tmp_path / f"store{attempt}")
        child = multiprocessing.get_context("spawn").Process(target=_publish_for_ever, args=(url,))
        child.start()
        while not (tmp_path / f"store{attempt}" / "b2").exists():
            time.sleep(0.002)
        time.sleep(0.003 * attempt)
        os.kill(child.pid or 0, signal.SIGKILL)
        child.join()
        broken = []
        for name in Store(url).folders():
            try:
                load(url, name)
            except BundleError as e:
                broken.append((name, str(e)))
        assert len(broken) <= 1, broken
        for name, _ in broken:
            bundles.publish_day0(Store(url), name, TUNED)
            assert load(url, name).id == name


def test_a_folder_is_published_under_its_own_id_or_another(tmp_path: Path, url: str) -> None:
    bundles.publish_day0(tmp_path / "runs", "tuned", TUNED, metrics={"ndcg": 0.12})
    (tmp_path / "runs" / "tuned").rename(tmp_path / "runs" / "run-7")
    source = tmp_path / "runs" / "run-7"
    first = publishing.publish(Store(url), source, ModelSettings(), 77)
    second = publishing.publish(Store(url), source, ModelSettings(), 78, "other")
    assert [(m.id, m.published_ms, m.metrics) for m in (first, second)] == [
        ("tuned", 77, {"ndcg": 0.12}), ("other", 78, {"ndcg": 0.12}),
    ]  # fmt: skip
    assert load(url, "other").id == "other"


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (lambda f: (f / WEIGHTS).write_bytes(b"{}"), "has 2 of"),
        (lambda f: (f / manifest.MANIFEST).unlink(), "has no manifest"),
    ],
)
def test_a_folder_that_is_torn_is_not_published(
    tmp_path: Path, url: str, harm: Callable[[Path], None], reason: str
) -> None:
    bundles.publish_day0(tmp_path / "runs", "tuned", TUNED)
    harm(tmp_path / "runs" / "tuned")
    with pytest.raises(BundleError, match=reason):
        publishing.publish(Store(url), tmp_path / "runs" / "tuned", ModelSettings(), 1)
    assert Store(url).folders() == []


def test_numbers_of_day0_are_published_from_a_file_and_nonsense_is_not(
    tmp_path: Path, url: str
) -> None:
    numbers = tmp_path / "numbers.json"
    numbers.write_bytes(b'{"text": {"category": 3.0}, "dim": 32}')
    assert publishing.publish(Store(url), numbers, ModelSettings(), 1, "mine").dim == 32
    with pytest.raises(BundleError, match="--id"):
        publishing.publish(Store(url), numbers, ModelSettings(), 1)
    with pytest.raises(BundleError, match="built-in"):
        publishing.publish(Store(url), numbers, ModelSettings(), 1, "day0")
    for nonsense in (b'{"dim": 65}', b'{"colour": 1}', b"\xff", b""):
        numbers.write_bytes(nonsense)
        with pytest.raises(BundleError, match="does not hold the numbers"):
            publishing.publish(Store(url), numbers, ModelSettings(), 1, "other")
    assert Store(url).folders() == ["mine"]


def test_a_difference_names_what_differs_and_nothing_else(url: str) -> None:
    store = Store(url)
    bundles.publish_day0(store, "a", Day0(), metrics={"ndcg": 0.1}, training={"opt": {"lr": 1}})
    bundles.publish_day0(store, "b", SMALL, metrics={"ndcg": 0.2}, training={"opt": {"lr": 1}})
    bundles.publish_day0(store, "c", Day0(), metrics={"ndcg": 0.1}, training={"opt": {"lr": 1}})
    a, b, c = (publishing.about(store, name) for name in "abc")
    assert publishing.difference(a, c) == []
    assert [name for name, _, _ in publishing.difference(a, b)] == [
        "dim", "hidden", "metrics.ndcg", f"files.{WEIGHTS}",
    ]  # fmt: skip
    built_in = publishing.about(None, "day0")
    assert "dim" not in dict((n, None) for n, _, _ in publishing.difference(built_in, a))


@pytest.mark.parametrize("url", ["nosuch://bucket/models", "s3:/"])
def test_an_address_that_nobody_knows_is_a_bundle_error(url: str) -> None:
    with pytest.raises(BundleError):
        manifest.read(Store(url), "tuned")
