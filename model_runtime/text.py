"""Words into vectors without training: every token is a fixed direction, a text is their sum.

Feature hashing with random signs (Weinberger et al. 2009), in its dense form: the 64 bits of a
token's seeded hash are its 64 signs, so a token's vector is exact, of unit length, the same in every
process and on every machine, and needs neither a table nor a cache. Two tokens that share nothing
have a cosine of 0 +- 1/8.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import pairwise
from typing import Final

import numpy as np
import xxhash
from numpy.typing import NDArray

from contracts.models import F32

DIM: Final = 64
_SEED: Final = 0x4865_6164_0000  # another seed is another space, and so another bundle
_WORD: Final = re.compile(r"[^\W_]+")
_ROWS: Final = 16_384  # tokens a slice of work: 4 MB of float32 signs stay in the cache


class Kind(IntEnum):
    """The same string is another token as a word than as a category."""

    WORD = 1
    TRIGRAM = 2
    TAG = 3
    CATEGORY = 4
    CREATOR = 5
    LANGUAGE = 6
    VIDEO = 7
    EMBEDDING = 8


def words(text: str, longest: int) -> list[str]:
    """Different words of the first `longest` characters, in order, without case.

    >>> words("Crème brûlée: the CRÈME!", 100)
    ['crème', 'brûlée', 'the']
    """
    text = text[:longest]
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text.encode("utf-8", "replace").decode())
    return list(dict.fromkeys(_WORD.findall(text.casefold())))


def label(text: str | None, longest: int = 128) -> str:
    """One spelling of a category or tag: "Street_Food " and "street food" are the same."""
    return " ".join(words(text, longest)) if text else ""


def trigrams(found: Sequence[str]) -> list[str]:
    """Different triples of characters, with the ends of words marked; what typing errors share.

    >>> trigrams(["cat"])
    [' ca', 'cat', 'at ']
    """
    line = f" {' '.join(found)} " if found else ""
    return list(dict.fromkeys(map("".join, zip(line, line[1:], line[2:], strict=False))))


def phrases(found: Sequence[str]) -> list[str]:
    """The words, and each two that follow each other: labels that a free text may name."""
    return [*found, *map(" ".join, pairwise(found))]


def token(kind: Kind, text: str) -> int:
    """The token's 64 signs as unsigned bits."""
    bits: int = xxhash.xxh3_64_intdigest(text.encode("utf-8", "replace"), seed=_SEED + kind)
    return bits


def signs(tokens: NDArray[np.uint64]) -> F32:
    """(t, 64) float32 of +-1 from (t,) uint64."""
    bits = np.unpackbits(tokens.astype("<u8").view(np.uint8).reshape(-1, 8), axis=1)
    return bits.astype(np.float32) * np.float32(2) - np.float32(1)


@dataclass(slots=True)
class Bag:
    """Weighted tokens of many texts, row after row."""

    tokens: list[int] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)

    def add(self, kind: Kind, texts: Sequence[str], weight: float) -> None:
        """Tokens whose sum is about `weight` long, however many there are."""
        if texts:
            self.tokens += [token(kind, text) for text in texts]
            self.weights += [weight / len(texts) ** 0.5] * len(texts)

    def end_row(self) -> None:
        """What is added from here on belongs to the next row."""
        self.ends.append(len(self.tokens))

    def sums(self) -> F32:
        """(rows, 64) float32 sums of the weighted unit vectors; zero for a row without tokens."""
        out = np.zeros((len(self.ends), DIM), np.float32)
        ends = np.array([0, *self.ends], np.intp)
        tokens = np.array(self.tokens, np.uint64)
        weights = np.array(self.weights, np.float32) / np.float32(DIM**0.5)
        row = 0
        while row < len(out):
            stop = max(row + 1, int(np.searchsorted(ends, ends[row] + _ROWS, "right")) - 1)
            low, high = ends[row], ends[stop]
            filled = row + np.flatnonzero(np.diff(ends[row : stop + 1]))
            if len(filled):
                part = signs(tokens[low:high]) * weights[low:high, None]
                out[filled] = np.add.reduceat(part, ends[filled] - low, axis=0)
            row = stop
        return out


def unit(vectors: F32) -> F32:
    """(n, d) float32 of length 1; a zero row stays zero."""
    norm = np.sqrt((vectors.astype(np.float64) ** 2).sum(axis=1, keepdims=True))
    out = np.divide(vectors, norm, out=np.zeros(vectors.shape), where=norm > 0)
    short: F32 = out.astype(np.float32)
    return short
