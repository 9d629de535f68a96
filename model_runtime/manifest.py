"""What a bundle's folder holds, and how it is written and read without ever being half there.

    <store>/<bundle id>/manifest.json    id, kind, layout, feature list, where it comes from, and size
                                         and hash of each file
    <store>/<bundle id>/...              the files of its kind

The manifest is written last: it is what makes a bundle exist. What is torn, changed or of another
layout is refused with the reason.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from contracts.errors import BundleError
from model_runtime.store import Store

LAYOUT: Final = 2  # 1 said nothing about training, data and metrics
READABLE: Final = (1, 2)
MANIFEST: Final = "manifest.json"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_LARGEST: Final = 1 << 20  # bytes of a manifest


class File(msgspec.Struct, frozen=True):
    """What a file of the bundle has to be."""

    size_bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True):
    """What a bundle is and where it comes from.

    Attributes:
        embedding_size: of the videos' own embeddings that it was made for; None: any.
        published_ms: when it was put into a registry; 0 where that was not noted.
        training: the configuration of its training, as JSON.
        data: what it was trained on: a fingerprint, and how much of what.
        metrics: what an evaluation said of it, by name.
        seal: the sha256 of the manifest with an empty seal, so that no line can be changed.
    """

    id: str
    kind: str
    layout: int
    dim: int
    hidden: int
    features: tuple[str, ...]
    files: dict[str, File]
    embedding_size: int | None = None
    published_ms: int = 0
    training: dict[str, Any] = {}
    data: dict[str, Any] = {}
    metrics: dict[str, float] = {}
    seal: str = ""


def checked_name(name: str) -> str:
    """The name of a bundle or of a file in one: no path, nothing hidden.

    Raises:
        BundleError: it is something else.
    """
    if not _NAME.fullmatch(name):
        raise BundleError(f"{name!r} is not a name: letters, digits, '.', '_' and '-', at most 128")
    return name


def draft(
    bundle_id: str,
    kind: str,
    *,
    dim: int,
    hidden: int,
    features: Sequence[str],
    files: Mapping[str, bytes],
    **about: Any,
) -> Manifest:
    """The manifest of a bundle that is not written yet.

    Args:
        about: further fields of `Manifest`: training, data, metrics and so on.

    Raises:
        BundleError: a name is no name.
    """
    listed = {
        checked_name(name): File(len(content), hashlib.sha256(content).hexdigest())
        for name, content in files.items()
    }
    return Manifest(checked_name(bundle_id), kind, LAYOUT, dim, hidden, tuple(features), listed,
                    **about)  # fmt: skip


def write(store: Store | Path, bundle_id: str, kind: str, *, files: Mapping[str, bytes],
          **about: Any) -> Manifest:  # fmt: skip
    """Write a bundle that exists as a whole or not at all; arguments as of `draft`.

    Raises:
        BundleError: the id is taken (a bundle never changes), or a name is no name.
    """
    return put(store, draft(bundle_id, kind, files=files, **about), files)


def put(store: Store | Path, drafted: Manifest, files: Mapping[str, bytes]) -> Manifest:
    """Seal a manifest and write it behind its files. The same bundle again is fine, and changes nothing.

    Raises:
        BundleError: the id is taken, or what was written does not read back.
    """
    store = store if isinstance(store, Store) else Store(store)
    if (there := _whole(store, drafted.id)) is not None:
        if _seal_of(_unstamped(there)) != _seal_of(_unstamped(drafted)):
            raise BundleError(f"bundle {drafted.id!r} is there already: {store}")
        return there
    sealed = msgspec.structs.replace(drafted, seal=_seal_of(drafted))
    for name, content in files.items():
        store.write(drafted.id, name, content)
    store.write(drafted.id, MANIFEST, msgspec.json.encode(sealed))
    read(store, drafted.id)  # somebody else may have written here meanwhile
    return sealed


def read(
    store: Store | Path, folder: str, renamed: bool = False
) -> tuple[Manifest, dict[str, bytes]]:
    """The manifest and the checked content of every file.

    Args:
        folder: called as the bundle, unless `renamed` says that it need not be.

    Raises:
        BundleError: missing, torn, changed, or of another layout; the text says which.
    """
    store = store if isinstance(store, Store) else Store(store)
    found = read_manifest(store, folder, renamed)
    return found, {
        name: _checked(store, folder, checked_name(name), expected)
        for name, expected in found.files.items()
    }


def read_manifest(store: Store, folder: str, renamed: bool = False) -> Manifest:
    """The manifest alone, its seal checked. Arguments and errors as above."""
    size = store.size_bytes(checked_name(folder), MANIFEST)
    if size is None:
        raise BundleError(f"bundle {folder!r} has no {MANIFEST} in {store}")
    if size > _LARGEST:
        raise BundleError(f"bundle {folder!r}: a manifest of {size} bytes is none")
    raw = store.read(folder, MANIFEST)
    try:
        layout = msgspec.json.decode(raw, type=_Layout).layout
        if layout not in READABLE:
            raise BundleError(
                f"bundle {folder!r} has layout {layout}, this release reads {READABLE}"
            )
        manifest = msgspec.json.decode(raw, type=Manifest)
        seal = _seal(msgspec.json.decode(raw))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as e:
        raise BundleError(f"bundle {folder!r}: manifest cannot be read: {e}") from None
    if manifest.seal != seal:
        raise BundleError(f"bundle {folder!r}: manifest was changed after it was published")
    if manifest.id != folder and not renamed:
        raise BundleError(f"folder {folder!r} holds bundle {manifest.id!r}")
    return manifest


class _Layout(msgspec.Struct):
    layout: int


def _whole(store: Store, bundle_id: str) -> Manifest | None:
    """What is published under an id. What breaks off in the middle never was, and makes room."""
    if store.size_bytes(bundle_id, MANIFEST) is None:
        return None
    try:
        msgspec.json.decode(store.read(bundle_id, MANIFEST))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return read_manifest(store, bundle_id)


def _checked(store: Store, bundle_id: str, name: str, expected: File) -> bytes:
    size = store.size_bytes(bundle_id, name)
    if size is None:
        raise BundleError(f"bundle {bundle_id!r} has no {name}")
    if size != expected.size_bytes:
        raise BundleError(f"bundle {bundle_id!r}: {name} has {size} of {expected.size_bytes} bytes")
    content = store.read(bundle_id, name)
    if hashlib.sha256(content).hexdigest() != expected.sha256:
        raise BundleError(f"bundle {bundle_id!r}: {name} does not match its checksum")
    return content


def _unstamped(manifest: Manifest) -> Manifest:
    """Without what differs when the same bundle is published again."""
    return msgspec.structs.replace(manifest, published_ms=0, seal="")


def _seal_of(draft: Manifest) -> str:
    return _seal(msgspec.to_builtins(draft))


def _seal(fields: dict[str, Any]) -> str:
    """Of the fields as they lie there, so that what a later layout adds is under it too."""
    return hashlib.sha256(msgspec.json.encode({**fields, "seal": ""}, order="sorted")).hexdigest()
