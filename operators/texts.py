"""Arrays of text as two plain pieces, the UTF-8 bytes end to end and their lengths, for snapshots."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


def pack_texts(name: str, texts: NDArray[Any]) -> dict[str, NDArray[Any] | bytes]:
    """`{name}.utf8` and `{name}.lengths` ((n,) int32, -1 for None)."""
    parts = [None if t is None else t.encode("utf-8", "surrogatepass") for t in texts.tolist()]
    lengths = np.array([-1 if p is None else len(p) for p in parts], np.int32)
    return {f"{name}.utf8": b"".join(p for p in parts if p), f"{name}.lengths": lengths}


def unpack_texts(name: str, state: Mapping[str, NDArray[Any] | bytes]) -> list[str | None]:
    """What `pack_texts` packed."""
    blob, lengths = bytes(state[f"{name}.utf8"]), np.asarray(state[f"{name}.lengths"])
    ends = np.cumsum(np.maximum(lengths, 0), dtype=np.int64)
    spans = zip((ends - np.maximum(lengths, 0)).tolist(), ends.tolist(), strict=True)
    if blob.isascii():  # cut as text: half the time of a million decodings
        text = blob.decode("ascii")
        out: list[str | None] = [text[start:end] for start, end in spans]
    else:
        out = [blob[start:end].decode("utf-8", "surrogatepass") for start, end in spans]
    for none in np.flatnonzero(lengths < 0).tolist():
        out[none] = None
    return out
