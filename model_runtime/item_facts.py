"""What the trained item tower knows of a video, as arrays: the same in training and in serving.

Words, tags, category, language and creator are hashed into one table whose rows are learned. A
creator's row is what a new video of theirs starts from.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts.errors import BadMessageError
from contracts.events import to_ms
from contracts.ids import hash64_many, pack_language, unpack_language
from contracts.models import F32
from contracts.videos import Video
from model_runtime.text import Kind, label, phrases, token, words

DURATIONS: Final = 24  # 0: not told; else by factors of two, up to 2^22 s
AGES: Final = 20  # minimal age in years, 19 and more last
YEARS: Final = 128  # of publication, UTC, from 1920
_TITLE_CHARS: Final = 512
_TAGS: Final = 16


@dataclass(frozen=True, slots=True, eq=False)
class Bags:
    """What n videos or texts name.

    Attributes:
        tokens: (t,) rows of the hashed table, video after video.
        weights: (t,) of each; the k tokens of a kind have 1 / sqrt(k) each.
        offsets: (n,) where each video's tokens begin.
    """

    tokens: NDArray[np.int64]
    weights: F32
    offsets: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Facts:
    """n videos.

    Attributes:
        bags: of what they name.
        duration, age, year: (n,) rows of the small tables.
        ids: (n,) hash64, 0 for what is no video.
    """

    bags: Bags
    duration: NDArray[np.int64]
    age: NDArray[np.int64]
    year: NDArray[np.int64]
    ids: NDArray[np.int64]


def facts(videos: Sequence[Video], buckets: int) -> Facts:
    """What is known of n videos."""
    seconds = np.array([(video.duration_ms or 0) / 1000 for video in videos])
    published = np.array([to_ms(video.published_at) for video in videos], "datetime64[ms]")
    years = published.astype("datetime64[Y]").astype(np.int64) + 1970 - 1920
    return Facts(
        _hashed([_kinds(video) for video in videos], buckets),
        np.clip(np.frexp(seconds)[1] + (seconds > 0), 0, DURATIONS - 1).astype(np.int64),
        np.minimum([video.min_age for video in videos], AGES - 1).astype(np.int64),
        np.clip(years, 0, YEARS - 1),
        hash64_many([video.video_id for video in videos]),
    )


def text_bags(texts: Sequence[str], buckets: int) -> Bags:
    """Free texts as if each were a video's category, tags and title."""
    kinds = []
    for text in texts:
        found = words(text, _TITLE_CHARS)
        labels = phrases(found)
        kinds.append([(Kind.CATEGORY, labels), (Kind.TAG, labels), (Kind.WORD, found)])
    return _hashed(kinds, buckets)


def embeddings(videos: Sequence[Video], size: int) -> F32:
    """(n, size) given embeddings of unit length; zero rows where there is none.

    Raises:
        BadMessageError: on one of another size, or with a value that is not finite.
    """
    out = np.zeros((len(videos), size), np.float64)
    for i, video in enumerate(videos):
        if video.embedding:
            if len(video.embedding) != size:
                raise BadMessageError(
                    f"embedding of {len(video.embedding)} numbers; this bundle was trained on "
                    f"{size or 'none'}"
                )
            out[i] = video.embedding
    if not np.isfinite(out).all():
        raise BadMessageError("embedding has a value that is not finite")
    out /= np.maximum(
        np.abs(out).max(axis=1, initial=0.0, keepdims=True), 1e-300
    )  # squares stay finite
    out /= np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-12)
    return out.astype(np.float32)


def _kinds(video: Video) -> list[tuple[Kind, Sequence[str]]]:
    tags = [tag for tag in map(label, dict.fromkeys(video.tags[:_TAGS])) if tag]
    language = unpack_language(pack_language(video.language))
    return [
        (Kind.WORD, words(video.title, _TITLE_CHARS)),
        (Kind.TAG, tags),
        (Kind.CATEGORY, [category] if (category := label(video.category)) else []),
        (Kind.LANGUAGE, [language] if language else []),
        (Kind.CREATOR, [video.creator_id] if video.creator_id else []),
    ]


def _hashed(rows: Sequence[Sequence[tuple[Kind, Sequence[str]]]], buckets: int) -> Bags:
    tokens, weights, begins = list[int](), list[float](), list[int]()
    for kinds in rows:
        begins.append(len(tokens))
        for kind, texts in kinds:
            if texts:
                tokens += [token(kind, text) % buckets for text in texts]
                weights += [len(texts) ** -0.5] * len(texts)
    return Bags(
        np.array(tokens, np.int64), np.array(weights, np.float32), np.array(begins, np.int64)
    )
