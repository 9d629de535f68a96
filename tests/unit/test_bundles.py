"""Bundles in a directory: what is torn, changed or incompatible is refused with the reason."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from contracts.errors import BundleError
from contracts.models import Bundle
from contracts.settings import ModelSettings
from contracts.videos import Video
from model_runtime import bundles, manifest
from model_runtime.day0 import KIND, WEIGHTS, Day0
from model_runtime.item_tower import TextWeights
from model_runtime.linear_ranker import HEADS, Head

TUNED = Day0(text=TextWeights(category=3.0))
ONE = Video(video_id="v", published_at=1, title="pasta", category="cooking")


def load(directory: Path, bundle: str = "tuned") -> Bundle:
    return bundles.load(ModelSettings(bundle=bundle, registry=str(directory), embedding_size=4))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    bundles.publish_day0(tmp_path, "tuned", TUNED)
    return tmp_path


def test_day0_is_there_without_a_registry() -> None:
    bundle = bundles.load(ModelSettings())
    assert bundle.id == "day0"
    assert bundle.users.dim == bundle.items.dim == bundle.users.hidden == 64


def test_a_published_bundle_comes_back_with_its_own_numbers(store: Path) -> None:
    bundle = load(store)
    assert bundle.id == "tuned"
    np.testing.assert_array_equal(
        bundle.items.embed([ONE]), TUNED.bundle("tuned").items.embed([ONE])
    )
    assert (bundle.items.embed([ONE]) != bundles.load(ModelSettings()).items.embed([ONE])).any()


def test_publishing_leaves_one_folder_and_nothing_else(store: Path) -> None:
    assert sorted(p.name for p in store.iterdir()) == ["tuned"]
    assert sorted(p.name for p in (store / "tuned").iterdir()) == [WEIGHTS, manifest.MANIFEST]


def test_an_id_is_given_once_and_day0_never(store: Path) -> None:
    with pytest.raises(BundleError, match="is there already"):
        bundles.publish_day0(store, "tuned", Day0())
    with pytest.raises(BundleError, match="built-in"):
        bundles.publish_day0(store, "day0", Day0())
    assert sorted(p.name for p in store.iterdir()) == ["tuned"]
    np.testing.assert_array_equal(
        load(store).items.embed([ONE]), TUNED.bundle("tuned").items.embed([ONE])
    )


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "x" * 129, "a\n"])
def test_a_name_that_is_a_path_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BundleError, match="is not a name"):
        load(tmp_path, name)
    with pytest.raises(BundleError, match="is not a name"):
        bundles.publish_day0(tmp_path, name, Day0())


def test_a_bundle_that_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="has no manifest"):
        load(tmp_path)
    with pytest.raises(BundleError, match="HEADRACE_MODEL__REGISTRY"):
        bundles.load(ModelSettings(bundle="tuned"))


def rewrite(**changes: object) -> Callable[[Path], None]:
    """A manifest with other values, sealed again: what another release would have written."""

    def apply(folder: Path) -> None:
        path = folder / manifest.MANIFEST
        old = msgspec.json.decode(path.read_bytes(), type=manifest.Manifest)
        new = msgspec.structs.replace(old, **changes, seal="")
        sealed = msgspec.structs.replace(new, seal=manifest._seal_of(new))
        path.write_bytes(msgspec.json.encode(sealed))

    return apply


def edit(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    return lambda folder: _change(folder / name, change)


def _change(path: Path, change: Callable[[bytes], bytes]) -> None:
    path.write_bytes(change(path.read_bytes()))


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (edit(WEIGHTS, lambda raw: raw[:-7]), r"day0\.json has \d+ of \d+ bytes"),
        (edit(WEIGHTS, lambda raw: raw.replace(b"3.0", b"9.0")), "does not match its checksum"),
        (lambda folder: (folder / WEIGHTS).unlink(), r"has no day0\.json"),
        (lambda folder: (folder / manifest.MANIFEST).unlink(), r"has no manifest\.json"),
        (edit(manifest.MANIFEST, lambda raw: raw[:40]), "manifest cannot be read"),
        (edit(manifest.MANIFEST, lambda _: b"\xff\xfe"), "manifest cannot be read"),
        (edit(manifest.MANIFEST, lambda raw: raw.replace(b'"dim":64', b'"dim":65')), "changed"),
        (rewrite(layout=99), r"layout 99, this release reads \(1, 2\)"),
        (rewrite(kind="transformer"), "of kind 'transformer'"),
        (rewrite(id="other"), "holds bundle 'other'"),
        (rewrite(features=("cosine", "karma")), "columns not served: karma"),
        (rewrite(features=("cosine",)), "do not fit the manifest"),
        (rewrite(dim=128), "do not fit the manifest"),
        (rewrite(embedding_size=128), "embeddings of 128 numbers, the videos here have 4"),
        (rewrite(files={}), "has no day0.json"),
        (rewrite(files={"../secret": manifest.File(1, "")}), "is not a name"),
    ],
)
def test_harm_is_refused_with_its_reason(
    store: Path, harm: Callable[[Path], None], reason: str
) -> None:
    harm(store / "tuned")
    with pytest.raises(BundleError, match=reason):
        load(store)


@pytest.mark.parametrize(
    "content", [b"{}}", b'{"heads": {}}', b'{"text": {"colour": 1}}', b'{"mean": 3}', b"\xff"]
)
def test_weights_that_are_none_are_refused(tmp_path: Path, content: bytes) -> None:
    features = Day0().bundle().ranker.features
    manifest.write(
        tmp_path, "x", KIND, dim=64, hidden=64, features=features, files={WEIGHTS: content}
    )
    with pytest.raises(BundleError, match=r"day0\.json"):
        load(tmp_path, "x")


def test_a_head_on_an_unknown_column_is_never_published(tmp_path: Path) -> None:
    heads = {**HEADS, "p_like": Head(0.1, {"karma": 1.0})}
    with pytest.raises(BundleError, match="karma"):
        bundles.publish_day0(tmp_path, "x", Day0(heads=heads))
    assert not (tmp_path / "x").exists()


def test_a_directory_that_cannot_be_written_is_a_bundle_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(BundleError, match="file/store"):
        bundles.publish_day0(tmp_path / "file" / "store", "x", Day0())
