"""Loading a bundle by its id; `KINDS` lists what there is."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import msgspec

from contracts.errors import BundleError
from contracts.features import FEATURE_COLUMNS, VIDEO_COLUMNS
from contracts.models import Bundle
from contracts.settings import ModelSettings
from model_runtime import appeal, day0, learned, manifest, ranker_files
from model_runtime.manifest import Manifest
from model_runtime.store import Store

Load = Callable[[Manifest, Mapping[str, bytes], ModelSettings], Bundle]


def load(settings: ModelSettings, bundle_id: str | None = None) -> Bundle:
    """A bundle, `settings.bundle` unless told: day0 is built in, any other lies in the registry.

    Raises:
        BundleError: missing, torn, changed, of another layout or kind, made for other features or
            for embeddings of another size.
    """
    bundle_id = bundle_id or settings.bundle
    if bundle_id == day0.ID:
        return day0.Day0().bundle(embedding_size=settings.embedding_size)
    found, files = manifest.read(registry(settings, bundle_id), bundle_id)
    return build(found, files, settings)


def registry(settings: ModelSettings, wanted: str = "") -> Store:
    """The store that the settings name.

    Raises:
        BundleError: they name none.
    """
    if settings.registry is None:
        what = f"bundle {wanted!r} is not built in" if wanted else "there is no registry"
        raise BundleError(f"{what}: set HEADRACE_MODEL__REGISTRY to a folder or a URL")
    return Store(settings.registry)


def build(found: Manifest, files: Mapping[str, bytes], settings: ModelSettings) -> Bundle:
    """The models of a bundle that was read.

    Raises:
        BundleError: of another kind, or made for other features or embeddings.
    """
    served = {spec.name for spec in (*VIDEO_COLUMNS, *FEATURE_COLUMNS)}
    if unknown := sorted(set(found.features) - served):
        raise BundleError(f"bundle {found.id!r} reads columns not served: {', '.join(unknown)}")
    ours, theirs = settings.embedding_size, found.embedding_size
    if None not in (ours, theirs) and ours != theirs:
        raise BundleError(
            f"bundle {found.id!r} is made for embeddings of {theirs} numbers, the videos here have "
            f"{ours}"
        )
    if found.kind not in KINDS:
        raise BundleError(f"bundle {found.id!r} is of kind {found.kind!r}, not {sorted(KINDS)}")
    bundle = KINDS[found.kind](found, files, settings)
    if ranker := ranker_files.from_files(found.id, files):
        bundle = replace(bundle, ranker=ranker)
    bundle = replace(bundle, appeal=appeal.from_files(found.id, files))
    _agree(found, bundle)
    return bundle


def publish_day0(store: Store | Path, bundle_id: str, weights: day0.Day0, **about: Any) -> Manifest:
    """Write a day-0 bundle with numbers of one's own; `about` as in `manifest.draft`.

    Raises:
        BundleError: the id is taken or no name, or a head reads an unknown column.
    """
    if bundle_id == day0.ID:
        raise BundleError(f"{day0.ID!r} is the built-in bundle; other numbers need another id")
    try:
        built = weights.bundle(bundle_id)
    except ValueError as e:
        raise BundleError(f"bundle {bundle_id!r}: {e}") from None
    return manifest.write(
        store,
        bundle_id,
        day0.KIND,
        dim=built.users.dim,
        hidden=built.users.hidden,
        features=built.ranker.features,
        files={day0.WEIGHTS: msgspec.json.encode(weights)},
        **about,
    )


def _load_day0(found: Manifest, files: Mapping[str, bytes], settings: ModelSettings) -> Bundle:
    if day0.WEIGHTS not in files:
        raise BundleError(f"bundle {found.id!r} has no {day0.WEIGHTS}")
    try:
        weights = msgspec.json.decode(files[day0.WEIGHTS], type=day0.Day0)
        return weights.bundle(found.id, settings.embedding_size)
    except (msgspec.DecodeError, ValueError) as e:
        raise BundleError(f"bundle {found.id!r}: {day0.WEIGHTS}: {e}") from None


def _agree(found: Manifest, bundle: Bundle) -> None:
    """What the manifest promises is what was built: state and index are laid out by it."""
    built = (bundle.users.dim, bundle.items.dim, bundle.users.hidden, bundle.ranker.features)
    if built != (found.dim, found.dim, found.hidden, found.features):
        raise BundleError(
            f"bundle {found.id!r}: towers of {built[:3]} (dim, dim, hidden) and columns {built[3]} "
            f"do not fit the manifest's {found.dim}, {found.hidden}, {found.features}"
        )


KINDS: Final[Mapping[str, Load]] = {day0.KIND: _load_day0, learned.KIND: learned.load}
