"""Where bundles lie: a directory, or any URL that fsspec knows (`s3://bucket/models` with s3fs installed).

    <store>/<folder>/<file>

Object stores have no rename, so nothing here is one step but a single file: whoever writes several
writes the one last that makes the others count.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from contracts.errors import BundleError


class Store:
    """Files in folders. Every method raises BundleError with the place and the reason."""

    def __init__(self, url: str | Path) -> None:
        # Imported when there is a store: most processes serve what is built in.
        from fsspec.core import url_to_fs

        self._url = str(url)
        with self._told(""):
            self._fs, self._root = url_to_fs(self._url)

    def __str__(self) -> str:
        return self._url

    def folders(self) -> list[str]:
        """Names of all folders, sorted; none where the store was never written to."""
        with self._told(""):
            self._fs.invalidate_cache()
            if not self._fs.exists(self._root):
                return []
            found = self._fs.ls(self._root, detail=True)
        return sorted(Path(one["name"]).name for one in found if one["type"] == "directory")

    def size_bytes(self, folder: str, file: str) -> int | None:
        """Of a file; None where there is none."""
        with self._told(f"{folder}/{file}"):
            self._fs.invalidate_cache()
            try:
                return int(self._fs.size(self._path(folder, file)))
            except FileNotFoundError:
                return None

    def read(self, folder: str, file: str) -> bytes:
        """A whole file."""
        with self._told(f"{folder}/{file}"):
            content: bytes = self._fs.cat_file(self._path(folder, file))
            return content

    def write(self, folder: str, file: str, content: bytes) -> None:
        """Replace a file; it is durable on return."""
        with self._told(f"{folder}/{file}"):
            self._fs.makedirs(f"{self._root}/{folder}", exist_ok=True)
            with self._fs.open(self._path(folder, file), "wb") as written:
                written.write(content)
                _sync(written)

    def _path(self, folder: str, file: str) -> str:
        return f"{self._root}/{folder}/{file}"

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise BundleError(f"{self._url}: there is no {what}") from None
        except (
            Exception
        ) as e:  # file systems are plug-ins, and raise what their services' clients do
            raise BundleError(f"{self._url}: {what}: {type(e).__name__}: {e}") from e


def _sync(file: Any) -> None:
    """To the disk, where there is one: an object is durable when its upload has ended."""
    try:
        handle = file.fileno()
    except (OSError, AttributeError):  # io.UnsupportedOperation is an OSError
        return
    file.flush()
    os.fsync(handle)
