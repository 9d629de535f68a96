"""Catalog and index on disk, in one folder that is there whole or not at all.

    folder/CURRENT              the name of the snapshot to boot from
    folder/snapshot-000000007/  manifest.json (sizes, checksums), cells.bin (or hnsw.bin), *.npy, *.bytes

Writing is done by a child process made by `fork`, as Redis does it: the child has the memory as it was
at that instant, and the serving process goes on after the fork (22 ms at a million videos, 1.26 GB).
hnswlib would hold the GIL for a second otherwise.
"""

import json
import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.errors import IndexCorruptError
from contracts.settings import IndexSettings
from index_updater.background import Child, in_child
from index_updater.live_index import LiveIndex
from index_updater.snapshot_files import (
    Pieces,
    clear_old,
    current,
    discard,
    next_name,
    publish,
    read_meta,
    read_pieces,
    write_pieces,
)
from operators.catalog import Catalog


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """What a process boots from; `meta` is what the caller of `save` gave, through JSON."""

    index: LiveIndex
    catalog: Catalog
    meta: dict[str, Any]


def save(folder: Path, index: LiveIndex, catalog: Catalog, meta: Mapping[str, Any]) -> None:
    """Write a snapshot and make it the current one; returns when it is on disk.

    Raises:
        OSError: it could not be written; the one before is still the current one.
    """
    start(folder, index, catalog, meta).wait()


def start(folder: Path, index: LiveIndex, catalog: Catalog, meta: Mapping[str, Any]) -> Child:
    """Begin to write a snapshot of this instant. One at a time for a folder.

    Writers of catalog and index wait until the child process is made; queries do not.
    """
    text = json.dumps(dict(meta))
    folder.mkdir(parents=True, exist_ok=True)
    clear_old(folder)
    name = next_name(folder)
    with ExitStack() as both:
        both.enter_context(catalog.frozen())
        both.enter_context(index.frozen())
        return in_child(lambda: _write(folder, name, index, catalog, text))


def meta(folder: Path) -> dict[str, Any] | None:
    """What the caller of `save` said about the current snapshot; None if there is none.

    Raises:
        IndexCorruptError: it is torn, altered, or of another layout.
    """
    where = current(folder)
    return None if where is None else read_meta(where)


def load(folder: Path, settings: IndexSettings) -> Snapshot | None:
    """The current snapshot; None if there is none.

    Raises:
        IndexCorruptError: it is torn, altered, or of another layout.
    """
    where = current(folder)
    if where is None:
        return None
    pieces, about = read_pieces(where)
    graph = where / graph_file(settings)
    if not graph.exists():
        raise IndexCorruptError(f"{where} has no {graph.name}: it is of another index structure")
    try:
        rows = {name: np.asarray(array) for name, array in _part(pieces, "index.").items()}
        with ThreadPoolExecutor(1) as beside:  # copies, mostly: two cores are faster
            restored = beside.submit(LiveIndex.restore, rows, graph, settings)
            catalog = Catalog.restore(_part(pieces, "catalog."))
            index = restored.result()
    except (KeyError, ValueError, RuntimeError, UnicodeDecodeError) as e:
        raise IndexCorruptError(f"{where}: {e!r}") from e
    # The two are written one after the other while messages are applied: a removal may have
    # reached the catalog only, and its replay would pass the index by.
    known = index.ids()
    index.remove(known[catalog.rows_of(known) < 0])
    return Snapshot(index, catalog, about)


def graph_file(settings: IndexSettings) -> str:
    """The name of the structure's own file: another structure cannot read it."""
    return f"{settings.structure}.bin"


def _write(folder: Path, name: str, index: LiveIndex, catalog: Catalog, meta: str) -> None:
    """Runs in the child: the locks are held by nobody there but us."""
    pieces: Pieces = {f"index.{key}": array for key, array in index.state().items()}
    pieces |= {f"catalog.{key}": piece for key, piece in catalog.state().items()}
    draft = folder / f"{name}.draft"
    try:
        write_pieces(draft, pieces, {graph_file(index.settings): index.save_graph}, meta)
        publish(folder, draft, name)
    except OSError as e:
        free = shutil.disk_usage(folder).free
        discard(folder, name)
        raise OSError(f"{folder}: {e} (its disk had {free} bytes left)") from e


def _part(pieces: Pieces, prefix: str) -> dict[str, NDArray[Any] | bytes]:
    return {key.removeprefix(prefix): p for key, p in pieces.items() if key.startswith(prefix)}
