"""Shapes of the trained towers: what training is told, and what a bundle says of its weights."""

from typing import Annotated, Literal

import msgspec

from model_runtime import told

Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 22)]
Size = Annotated[int, msgspec.Meta(ge=1, le=1024)]
Block = Literal["none", "mlp", "cross"]
Cell = Literal["rg_lru", "min_gru", "lru"]


class UserForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The user tower.

    Attributes:
        cell: rg_lru (Griffin's gated real recurrence), min_gru, or lru (complex, a fixed decay).
        layers, inner, width: how many; numbers of the residual stream; of the state of each layer.
        taps: of the short convolution of the first layer; 1 is none.
        heads: blocks of the gates' matrices.
        block: between the last layer and the vector.
        state: precision in which the state is stored between events.
        context: what of an event's moment is read (`model_runtime.told.CONTEXT`).
        profile: what people told of themselves begins their state (`model_runtime.told.PROFILE`);
            without any, the vector of their interests does.
    """

    cell: Cell = "rg_lru"
    layers: Annotated[int, msgspec.Meta(ge=1, le=16)] = 2
    inner: Size = 64
    width: Size = 64
    taps: Annotated[int, msgspec.Meta(ge=1, le=8)] = 4
    heads: Size = 4
    block: Block = "none"
    state: Literal["float32", "float16"] = "float16"
    context: tuple[str, ...] = ()
    profile: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        told.checked(told.CONTEXT, self.context, "the context")
        told.checked(told.PROFILE, self.profile, "the profile")
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        if self.cell == "lru" and self.width % 2:
            raise ValueError(f"a complex state needs an even width, not {self.width}")

    @property
    def numbers(self) -> int:
        """Of a person's state: the stream after the last layer, each layer's state, the taps' past."""
        return self.inner + (self.layers + self.taps - 1) * self.width

    @property
    def hidden(self) -> int:
        """Words of 4 bytes that the state takes in a record."""
        return self.numbers if self.state == "float32" else -(-self.numbers // 2)


class ItemForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The item tower.

    Attributes:
        dim: of the vectors, and so of the index.
        buckets: rows of the hashed table of words, tags, categories, languages and creators.
        id_embedding: a learned vector for each video of the training log.
        block: between the sum of the parts and the vector.
    """

    dim: Literal[64, 128] = 64
    buckets: Annotated[int, msgspec.Meta(ge=64, le=1 << 22)] = 1 << 14
    id_embedding: bool = True
    block: Block = "none"
