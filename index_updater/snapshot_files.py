"""The files of a snapshot: written to a draft folder, synced, renamed; checked by sum when read."""

import json
import mmap
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import xxhash
from numpy.typing import NDArray

from contracts.errors import IndexCorruptError

LAYOUT: Final = 2
Pieces = dict[str, NDArray[Any] | bytes]
_MANIFEST: Final = "manifest.json"
_CURRENT: Final = "CURRENT"
_PREFIX: Final = "snapshot-"


def write_pieces(
    draft: Path, pieces: Pieces, files: Mapping[str, Callable[[Path], None]], meta: str
) -> None:
    """Write all into a new folder, the manifest last, and sync every file."""
    draft.mkdir()
    for name, piece in pieces.items():
        path = draft / _file_name(name, piece)
        if isinstance(piece, bytes):
            path.write_bytes(piece)
        else:
            with path.open("wb") as out:
                np.save(out, piece, allow_pickle=False)
    for name, write in files.items():
        write(draft / name)
    listed = {}
    for path in sorted(draft.iterdir()):
        listed[path.name] = {"bytes": path.stat().st_size, "xxh3": _sum(path)}
        _sync(path)
    manifest = {"layout": LAYOUT, "files": listed, "meta": json.loads(meta)}
    text = json.dumps(manifest)
    sealed = {"xxh3": xxhash.xxh3_128_hexdigest(text.encode()), "manifest": text}
    (draft / _MANIFEST).write_text(json.dumps(sealed))
    _sync(draft / _MANIFEST)
    _sync(draft)


def read_pieces(folder: Path) -> tuple[Pieces, dict[str, Any]]:
    """The pieces and the meta of a snapshot; its other files are checked, too.

    Raises:
        IndexCorruptError: anything is missing, altered or of another layout.
    """
    try:
        manifest = _manifest(folder)
        pieces: Pieces = {}
        for name, said in manifest["files"].items():
            path = folder / name
            if path.stat().st_size != said["bytes"] or _sum(path) != said["xxh3"]:
                raise IndexCorruptError(f"{path} is not what its manifest says")
            if name.endswith(".npy"):
                # Mapped: what is restored from it makes copies of its own.
                pieces[name.removesuffix(".npy")] = np.load(path, "r", allow_pickle=False)
            elif name.endswith(".bytes"):
                pieces[name.removesuffix(".bytes")] = path.read_bytes()
        return pieces, manifest["meta"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as e:
        raise IndexCorruptError(f"{folder}: {e!r}") from e


def read_meta(folder: Path) -> dict[str, Any]:
    """The meta of a snapshot alone.

    Raises:
        IndexCorruptError: as above.
    """
    try:
        meta: dict[str, Any] = _manifest(folder)["meta"]
        return meta
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as e:
        raise IndexCorruptError(f"{folder}: {e!r}") from e


def current(folder: Path) -> Path | None:
    """The snapshot to boot from, None if none was ever finished."""
    try:
        name = (folder / _CURRENT).read_text().strip()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as e:
        raise IndexCorruptError(f"{folder / _CURRENT}: {e!r}") from e
    if not name.startswith(_PREFIX) or not name.removeprefix(_PREFIX).isdigit():
        raise IndexCorruptError(f"{folder / _CURRENT} names {name!r}")
    return folder / name


def next_name(folder: Path) -> str:
    """A name that is higher than all that are there."""
    numbers = [int(p.name.removeprefix(_PREFIX)) for p in _finished(folder)]
    return f"{_PREFIX}{max(numbers, default=0) + 1:09d}"


def publish(folder: Path, draft: Path, name: str) -> None:
    """Make a finished draft the current snapshot, in one step."""
    draft.rename(folder / name)
    pointer = folder / f"{_CURRENT}.draft"
    pointer.write_text(name)
    _sync(pointer)
    pointer.replace(folder / _CURRENT)
    _sync(folder)
    clear_old(folder)


def discard(folder: Path, name: str) -> None:
    """Delete a snapshot that could not be made: a disk that is full needs the room."""
    shutil.rmtree(folder / f"{name}.draft", ignore_errors=True)
    if _pointed(folder) != name:
        shutil.rmtree(folder / name, ignore_errors=True)


def clear_old(folder: Path) -> None:
    """Delete drafts that were never finished, and snapshots before the last but one.

    The last but one stays for a process that is reading it, and the current one in any case.
    """
    for path in folder.glob(f"{_PREFIX}*.draft"):
        shutil.rmtree(path, ignore_errors=True)
    for path in _finished(folder)[:-2]:
        if path.name != _pointed(folder):
            shutil.rmtree(path, ignore_errors=True)


def _pointed(folder: Path) -> str:
    try:
        return (folder / _CURRENT).read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _finished(folder: Path) -> list[Path]:
    found = [p for p in folder.glob(f"{_PREFIX}*") if p.name.removeprefix(_PREFIX).isdigit()]
    return sorted(found, key=lambda p: int(p.name.removeprefix(_PREFIX)))


def _manifest(folder: Path) -> dict[str, Any]:
    sealed = json.loads((folder / _MANIFEST).read_text())
    if xxhash.xxh3_128_hexdigest(sealed["manifest"].encode()) != sealed["xxh3"]:
        raise IndexCorruptError(f"{folder / _MANIFEST} was altered")
    manifest: dict[str, Any] = json.loads(sealed["manifest"])
    if manifest["layout"] != LAYOUT:
        raise IndexCorruptError(f"{folder} has layout {manifest['layout']}, not {LAYOUT}")
    return manifest


def _file_name(name: str, piece: NDArray[Any] | bytes) -> str:
    return f"{name}.bytes" if isinstance(piece, bytes) else f"{name}.npy"


def _sum(path: Path) -> str:
    digest = xxhash.xxh3_128()
    with path.open("rb") as data:
        if path.stat().st_size:  # an empty file cannot be mapped
            with mmap.mmap(data.fileno(), 0, access=mmap.ACCESS_READ) as content:
                digest.update(content)
    return digest.hexdigest()


def _sync(path: Path) -> None:
    """Also of a folder: a rename is durable when its folder is synced."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
