"""The day-0 item tower: a video's vector from what is written about it, without training.

A given embedding is projected to 64 numbers and keeps most of the weight; the labels are mixed in,
so that a search, an onboarding interest and a category find videos in the same space. Without an
embedding the words speak.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import msgspec
import numpy as np

from contracts.errors import BadMessageError
from contracts.ids import pack_language, unpack_language
from contracts.models import F32
from contracts.videos import Video
from model_runtime.text import DIM, Bag, Kind, label, phrases, signs, token, trigrams, unit, words

_TITLE_CHARS: Final = 512
_DESCRIPTION_CHARS: Final = 2048
_TAGS: Final = 16


class TextWeights(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Lengths of the parts of a video's vector before it is normalised.

    Squares add up: of 3.4 the category has 1.7, so two videos that share nothing else have a cosine
    of about 0.5, and those that share all but the category one of about 0.45 (mostly creator).
    """

    category: float = 1.3
    creator: float = 0.7
    language: float = 0.4
    tags: float = 0.6
    title: float = 0.6
    trigrams: float = 0.4
    description: float = 0.25
    # Keeps videos of equal words apart: many equal points ruin the graph of the index.
    video: float = 0.15
    embedding: float = 1.6


class HashedItems:
    """The item tower of the day-0 bundle.

    A word is 64 signs; fewer dimensions take the first of them.

    All embeddings of a deployment have to be of one size: that of `embedding_size`, else of the
    first one seen, since sizes come from different models whose spaces have nothing in common.
    """

    def __init__(
        self,
        weights: TextWeights | None = None,
        embedding_size: int | None = None,
        dim: int = DIM,
    ) -> None:
        self._weights = weights or TextWeights()
        self._size, self.dim = embedding_size, dim

    def embed(self, videos: Sequence[Video]) -> F32:
        """(n, d) unit vectors. Never zero: a video without any words is told by its id.

        Raises:
            BadMessageError: on an embedding of another size, or with a value that is not finite.
        """
        given = [i for i, video in enumerate(videos) if video.embedding]
        contents = self._contents([videos[i] for i in given])
        shown = {i for i, content in zip(given, contents, strict=True) if content.any()}
        bag = Bag()
        for i, video in enumerate(videos):
            self._describe(bag, video, with_text=i not in shown)
        total = bag.sums()[:, : self.dim]
        total[given] += contents * np.float32(self._weights.embedding)
        return unit(total)

    def embed_texts(self, texts: Sequence[str]) -> F32:
        """(n, d) unit vectors of searches and interests; zero where a text has no word."""
        bag, w = Bag(), self._weights
        for text in texts:
            found = words(text, _TITLE_CHARS)
            labels = phrases(found)
            bag.add(Kind.CATEGORY, labels, w.category)
            bag.add(Kind.TAG, labels, w.tags)
            bag.add(Kind.WORD, found, w.title)
            bag.add(Kind.TRIGRAM, trigrams(found), w.trigrams)
            bag.end_row()
        return unit(bag.sums()[:, : self.dim])

    def _describe(self, bag: Bag, video: Video, with_text: bool) -> None:
        w = self._weights
        if category := label(video.category):
            bag.add(Kind.CATEGORY, [category], w.category)
        if video.creator_id:
            bag.add(Kind.CREATOR, [video.creator_id], w.creator)
        if language := unpack_language(pack_language(video.language)):
            bag.add(Kind.LANGUAGE, [language], w.language)
        tags = [tag for tag in map(label, dict.fromkeys(video.tags[:_TAGS])) if tag]
        bag.add(Kind.TAG, tags, w.tags)
        if with_text:
            title = words(video.title, _TITLE_CHARS)
            bag.add(Kind.WORD, title, w.title)
            bag.add(Kind.TRIGRAM, trigrams([*title, *tags]), w.trigrams)
            if video.description:
                described = words(video.description, _DESCRIPTION_CHARS)
                bag.add(Kind.WORD, described, w.description)
        bag.add(Kind.VIDEO, [video.video_id], w.video)
        bag.end_row()

    def _contents(self, videos: Sequence[Video]) -> F32:
        """(n, d) unit vectors of the given embeddings, zero where one is all zeros."""
        if not videos:
            return np.zeros((0, self.dim), np.float32)
        size = self._size or len(videos[0].embedding or ())
        for video in videos:
            if len(video.embedding or ()) != size:
                raise BadMessageError(
                    f"embedding of {len(video.embedding or ())} numbers; this deployment has {size}"
                )
        raw = np.array([video.embedding for video in videos], np.float64)
        if not np.isfinite(raw).all():
            raise BadMessageError("embedding has a value that is not finite")
        self._size = size
        largest = np.abs(raw).max(axis=1, keepdims=True)  # 1e300 squared would be infinite
        scaled = np.divide(raw, largest, out=np.zeros_like(raw), where=largest > 0)
        if size <= self.dim:
            return unit(np.pad(scaled, ((0, 0), (0, self.dim - size))).astype(np.float32))
        projected: F32 = scaled.astype(np.float32) @ projection(size)[:, : self.dim]
        return unit(projected)


@lru_cache(maxsize=4)
def projection(size: int) -> F32:
    """(size, 64) of +-1, fixed by the seed: keeps cosines to about +-1/8 (Achlioptas 2003)."""
    rows = [token(Kind.EMBEDDING, str(i)) for i in range(size)]
    return signs(np.array(rows, np.uint64))
