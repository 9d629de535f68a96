"""The shape of the trained ranker: what training is told, and what a bundle says of its weights."""

from typing import Annotated, Final

import msgspec

from contracts.features import FEATURE_COLUMNS, VIDEO_COLUMNS

Size = Annotated[int, msgspec.Meta(ge=1, le=512)]
NAMES: Final = (
    "category", "creator", "tags", "language", "hour", "viewer_country", "viewer_language",
    "viewer_device", "surface",
)  # fmt: skip
NUMBERS: Final = (
    *(spec.name for spec in FEATURE_COLUMNS if spec.name not in NAMES),
    "duration_ms",
)
CROSSES: Final = (
    ("viewer_country", "language"), ("viewer_language", "language"), ("hour", "category"),
    ("viewer_device", "duration_ms"), ("category", "duration_ms"), ("surface", "duration_ms"),
    ("surface", "category"),
)  # fmt: skip
PROBABILITIES: Final = ("p_click", "p_complete", "p_like", "p_skip", "p_not_interested")
_KNOWN: Final = {spec.name: spec for spec in (*VIDEO_COLUMNS, *FEATURE_COLUMNS)}


class RankerForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which columns are read, and how many weights they go through.

    Attributes:
        numbers: columns whose size matters: each is cut at its quantiles into `bins` pieces.
        names: columns whose values are names (hashes, codes), 0 for nothing.
        crosses: pairs of columns that get a weight of their own together; a number takes part by
            its piece.
        embedding: numbers a name is turned into.
        layers, rank: of the cross network (DCN-v2, low rank).
        width: of the two hidden layers beside it.
        members: pairs of such layers, whose logits are averaged; they share all the rest.
        watch_bins: pieces of the time watched, each with a hazard of its own.

    Raises:
        ValueError: a column is not of the feature list, or has more than one value a row as number.
    """

    numbers: tuple[str, ...] = NUMBERS
    names: tuple[str, ...] = NAMES
    crosses: tuple[tuple[str, str], ...] = CROSSES
    bins: Size = 10
    embedding: Size = 8
    layers: Annotated[int, msgspec.Meta(ge=1, le=4)] = 2
    rank: Size = 16
    width: Size = 32
    members: Annotated[int, msgspec.Meta(ge=1, le=16)] = 4
    watch_bins: Annotated[int, msgspec.Meta(ge=2, le=64)] = 10

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.features) - set(_KNOWN)):
            raise ValueError(f"not in the feature list: {', '.join(unknown)}")
        single = (*self.numbers, *(name for pair in self.crosses for name in pair))
        if several := sorted({name for name in single if _KNOWN[name].shape}):
            raise ValueError(f"more than one value a row: {', '.join(several)}")
        if not self.numbers:
            raise ValueError("a ranker needs one column of numbers at least")

    @property
    def features(self) -> tuple[str, ...]:
        """Every column that is read, once; the time watched needs the video's length."""
        crossed = (name for pair in self.crosses for name in pair)
        return tuple(dict.fromkeys((*self.numbers, *self.names, *crossed, "duration_ms")))

    @property
    def slots(self) -> tuple[tuple[int, int], ...]:
        """Where the tokens of each name begin and end; those of the crosses follow, one each."""
        sizes = [(_KNOWN[name].shape or (1,))[0] for name in self.names]
        ends = [sum(sizes[: i + 1]) for i in range(len(sizes))]
        return tuple((end - size, end) for size, end in zip(sizes, ends, strict=True))

    @property
    def inputs(self) -> int:
        """Numbers that the networks see."""
        return len(self.numbers) * self.bins + len(self.names) * self.embedding

    @property
    def outputs(self) -> int:
        """Logits: one a probability, one a piece of the time watched."""
        return len(PROBABILITIES) + self.watch_bins
