"""A record as Redis holds it: its first 8 bytes as they are, the rest as one LZ4 block.

The head stays readable because the compare-and-set script looks for the version there. A record is a
fixed layout of tables that are mostly not full, so it packs to a quarter at first, and to two thirds
when it is full; less to move costs Redis and the wire more time than packing costs us.
"""

from collections.abc import Sequence
from typing import Any, Final

import lz4.block
import numpy as np

from contracts.errors import ConfigError
from contracts.user_record import LAYOUT, VERSION_AT, new_users
from operators.features.protocol import Records

_HEAD: Final = VERSION_AT[1]
_FORM: Final = slice(2, 4)
_RAW, _LZ4 = b"\0\0", b"\1\0"
_LARGEST: Final = 1 << 20  # of a record: a forged size must not be believed


def to_blobs(records: Records) -> list[bytes]:
    """(n,) records -> n blobs."""
    flat, size = memoryview(records.tobytes()), records.dtype.itemsize
    return [
        b"".join(
            (
                flat[at : at + _FORM.start],
                _LZ4,
                flat[at + _FORM.stop : at + _HEAD],
                lz4.block.compress(flat[at + _HEAD : at + size]),
            )
        )
        for at in range(0, len(flat), size)
    ]


def from_blobs(blobs: Sequence[bytes | None], dtype: np.dtype[Any]) -> Records:
    """(n,) records; None is a new user, and so is what is too short to be a state.

    Records that are not packed are taken too. The tower's part of a record of another size is left
    zero, and its `bundle` 0, so that `operators.derive` sees that it is not this bundle's.

    Raises:
        ConfigError: a blob that this release cannot read, and must not overwrite.
    """
    size, empty = dtype.itemsize, new_users(1, dtype).tobytes()
    raw = [empty if blob is None else _unpacked(blob) for blob in blobs]
    same = [one if len(one) == size else empty for one in raw]
    records = np.frombuffer(bytearray().join(same), dtype)  # a bytearray: it may be written
    head = dtype.fields["hidden"][1] if dtype.fields else 0
    for i, one in enumerate(raw):
        if len(one) != size and len(one) >= head:
            records[i] = np.frombuffer(one[:head] + empty[head:], dtype)[0]
            records["bundle"][i] = 0
    if len(other := np.unique(records["layout"][records["layout"] != LAYOUT])):
        raise ConfigError(
            f"user state of layout {other.tolist()}, this release reads {LAYOUT}: run the release "
            "that wrote it, or delete those keys to fold them again from the log"
        )
    return records


def _unpacked(blob: bytes) -> bytes:
    if blob[_FORM] != _LZ4:
        return blob
    try:
        if int.from_bytes(blob[_HEAD : _HEAD + 4], "little") > _LARGEST:
            raise ValueError("too large")
        rest = lz4.block.decompress(memoryview(blob)[_HEAD:])
    except (lz4.block.LZ4BlockError, ValueError) as e:
        raise ConfigError(
            f"user state that is damaged ({e}): delete its key to fold it again from the log"
        ) from None
    return blob[: _FORM.start] + _RAW + blob[_FORM.stop : _HEAD] + bytes(rest)
