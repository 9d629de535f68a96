"""Putting a bundle into a registry, and what differs between two of them."""

from pathlib import Path
from typing import Any, Final

import msgspec

from contracts.errors import BundleError
from contracts.settings import ModelSettings
from model_runtime import bundles, day0, manifest
from model_runtime.manifest import Manifest
from model_runtime.store import Store

_COMPARED: Final = (
    "kind",
    "layout",
    "dim",
    "hidden",
    "embedding_size",
    "training",
    "data",
    "metrics",
)


def publish(
    store: Store, source: Path, settings: ModelSettings, now_ms: int, bundle_id: str | None = None
) -> Manifest:
    """Put a bundle's folder, or the numbers of a day-0 bundle (a JSON file), into the registry.

    What could not be served is refused before anything is written.

    Args:
        bundle_id: another id than the folder's own; required for numbers.

    Raises:
        BundleError: no bundle, one that cannot be served here, or an id that is taken.
    """
    if source.is_dir():
        return _publish_folder(store, source, settings, now_ms, bundle_id)
    if bundle_id is None:
        raise BundleError(
            f"{source} holds the numbers of a day-0 bundle: which --id shall it have?"
        )
    try:
        weights = msgspec.json.decode(source.read_bytes(), type=day0.Day0)
    except OSError as e:
        raise BundleError(f"{source}: {e.strerror}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as e:
        raise BundleError(f"{source} does not hold the numbers of a day-0 bundle: {e}") from None
    return bundles.publish_day0(store, bundle_id, weights, published_ms=now_ms)


def _publish_folder(
    store: Store, folder: Path, settings: ModelSettings, now_ms: int, bundle_id: str | None
) -> Manifest:
    folder = folder.resolve()
    found, files = manifest.read(Store(folder.parent), folder.name, renamed=True)
    if (bundle_id or found.id) == day0.ID:
        raise BundleError(f"{day0.ID!r} is the built-in bundle: give this one another --id")
    renamed = msgspec.structs.replace(
        found, id=manifest.checked_name(bundle_id or found.id), published_ms=now_ms, seal=""
    )
    bundles.build(renamed, files, settings)
    return manifest.put(store, renamed, files)


def about(store: Store | None, bundle_id: str) -> Manifest:
    """The manifest of a bundle; the built-in one has one too, without files.

    Raises:
        BundleError: it cannot be read.
    """
    if bundle_id == day0.ID:
        built = day0.Day0().bundle()
        return Manifest(
            day0.ID, day0.KIND, manifest.LAYOUT, built.users.dim, built.users.hidden,
            built.ranker.features, {},
        )  # fmt: skip
    if store is None:
        raise BundleError(f"bundle {bundle_id!r} is not built in, and there is no registry")
    return manifest.read_manifest(store, bundle_id)


def difference(old: Manifest, new: Manifest) -> list[tuple[str, Any, Any]]:
    """(what, in the old one, in the new one) of everything that differs; None: it is not there.

    >>> a = Manifest("a", "day0", 2, 64, 64, ("cosine",), {}, metrics={"ndcg": 0.1})
    >>> difference(a, msgspec.structs.replace(a, dim=32, metrics={"ndcg": 0.2}))
    [('dim', 64, 32), ('metrics.ndcg', 0.1, 0.2)]
    """
    left, right = _facts(old), _facts(new)
    names = [*left, *(name for name in right if name not in left)]
    return [(n, left.get(n), right.get(n)) for n in names if left.get(n) != right.get(n)]


def _facts(of: Manifest) -> dict[str, Any]:
    """Dotted name -> value; the files by their hashes, the feature list by its members."""
    facts: dict[str, Any] = {}
    for name in _COMPARED:
        _flatten(name, getattr(of, name), facts)
    facts |= {f"features.{name}": True for name in of.features}
    return facts | {f"files.{name}": file.sha256[:12] for name, file in of.files.items()}


def _flatten(name: str, value: Any, into: dict[str, Any]) -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            _flatten(f"{name}.{key}", inner, into)
    else:
        into[name] = value
