"""What lies in a bundle's folder, and how it is written and read without ever being half there.

    <directory>/<bundle id>/manifest.json    id, kind, layout, feature list, size and hash of each file
    <directory>/<bundle id>/...              the files of its kind

A folder is written beside its place and renamed into it; what is torn, changed or of another layout
is refused with the reason.
"""

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from contracts.errors import BundleError

LAYOUT: Final = 1
MANIFEST: Final = "manifest.json"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class File(msgspec.Struct, frozen=True):
    """What a file of the bundle has to be."""

    size_bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True):
    """`seal` is the sha256 of the manifest with an empty seal, so that no line can be changed."""

    id: str
    kind: str
    layout: int
    dim: int
    hidden: int
    features: tuple[str, ...]
    files: dict[str, File]
    seal: str = ""


def checked_name(name: str) -> str:
    """The name of a bundle or of a file in one: no path, nothing hidden.

    Raises:
        BundleError: it is something else.
    """
    if not _NAME.fullmatch(name):
        raise BundleError(f"{name!r} is not a name: letters, digits, '.', '_' and '-', at most 128")
    return name


def write(
    directory: Path,
    bundle_id: str,
    kind: str,
    *,
    dim: int,
    hidden: int,
    features: Sequence[str],
    files: Mapping[str, bytes],
) -> Path:
    """Publish a bundle in one step; the folder is there as a whole or not at all.

    Raises:
        BundleError: the id is taken (a bundle never changes), or a name is no name.
    """
    folder = directory / checked_name(bundle_id)
    listed = {
        checked_name(name): File(len(content), hashlib.sha256(content).hexdigest())
        for name, content in files.items()
    }
    draft = Manifest(bundle_id, kind, LAYOUT, dim, hidden, tuple(features), listed)
    sealed = msgspec.structs.replace(draft, seal=_seal(draft))
    content = {**files, MANIFEST: msgspec.json.encode(sealed)}
    try:
        directory.mkdir(parents=True, exist_ok=True)
        _write_folder(folder, content)
    except OSError as e:
        raise BundleError(f"bundle {bundle_id!r} cannot be written: {e}") from e
    return folder


def _write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    if folder.exists():
        raise BundleError(f"bundle {folder.name!r} is there already: {folder}")
    draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=folder.parent))
    try:
        for name, content in files.items():
            _write_durably(draft / name, content)
        _sync(draft)
        draft.chmod(0o755)
        draft.rename(folder)  # fails if somebody was quicker: a folder with files is not replaced
        _sync(folder.parent)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def read(directory: Path, bundle_id: str) -> tuple[Manifest, dict[str, bytes]]:
    """The manifest and the checked content of every file.

    Raises:
        BundleError: missing, torn, changed, or of another layout; the text says which.
    """
    folder = directory / checked_name(bundle_id)
    raw = _read(folder / MANIFEST, bundle_id)
    try:
        manifest = msgspec.json.decode(raw, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as e:
        raise BundleError(f"bundle {bundle_id!r}: manifest cannot be read: {e}") from None
    if manifest.layout != LAYOUT:
        raise BundleError(
            f"bundle {bundle_id!r} has layout {manifest.layout}, this release reads {LAYOUT}"
        )
    if manifest.seal != _seal(msgspec.structs.replace(manifest, seal="")):
        raise BundleError(f"bundle {bundle_id!r}: manifest was changed after it was published")
    if manifest.id != bundle_id:
        raise BundleError(f"folder {bundle_id!r} holds bundle {manifest.id!r}")
    return manifest, {
        name: _checked(folder / checked_name(name), expected, bundle_id)
        for name, expected in manifest.files.items()
    }


def _checked(path: Path, expected: File, bundle_id: str) -> bytes:
    content = _read(path, bundle_id)
    if len(content) != expected.size_bytes:
        raise BundleError(
            f"bundle {bundle_id!r}: {path.name} has {len(content)} of {expected.size_bytes} bytes"
        )
    if hashlib.sha256(content).hexdigest() != expected.sha256:
        raise BundleError(f"bundle {bundle_id!r}: {path.name} does not match its checksum")
    return content


def _read(path: Path, bundle_id: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as e:
        raise BundleError(f"bundle {bundle_id!r}: {path.name}: {e.strerror} ({path})") from None


def _seal(draft: Manifest) -> str:
    return hashlib.sha256(msgspec.json.encode(draft, order="sorted")).hexdigest()


def _write_durably(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
