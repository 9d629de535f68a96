"""Settings of a ranker's training: one frozen tree, read from TOML. A wrong name is refused."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from contracts.errors import ConfigError
from model_runtime.ranker_form import RankerForm

Count = Annotated[int, msgspec.Meta(ge=1)]
Share = Annotated[float, msgspec.Meta(ge=0, lt=1)]


class Learning(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """AdamW with a warm-up and a cosine.

    Attributes:
        rows: shown videos a step.
        dropout: of the hidden layers.
        forget: share of names that are hidden, so that one that training never saw is no surprise.
        average: of the weights over about 1 / (1 - average) steps; what is validated and shipped.
        patience: epochs without a better validation after which it ends.
        seen: a name, or a cross, that fewer rows have gets no weights of its own.
    """

    epochs: Count = 15
    rows: Count = 512
    rate: Annotated[float, msgspec.Meta(gt=0, le=1)] = 2e-3
    weight_decay: Annotated[float, msgspec.Meta(ge=0)] = 0.02
    dropout: Share = 0.2
    forget: Share = 0.1
    average: Share = 0.99
    patience: Count = 3
    seen: Count = 10


class RankerTraining(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One run.

    Attributes:
        name: of the run's folder, and of the bundle.
        folder: the log, in the training layout, with impressions; a relative one lies beside the
            configuration.
        towers: the bundle whose towers the ranker stands on: day0, or the folder of a bundle. Its
            columns are read with them, and they are what the new bundle is made of.
        place: what of the place a video was shown at gets a tower of its own, off when serving.
            Surfaces are pooled by default, since serving does not know one as a column.
        kept: share of what was shown, the last in time, that is not learned from: half validates,
            half tests.
        long_watch_s: so many seconds watched are as good as a video watched to its end; 0: never.
        fewest: a head with fewer positives is not trained: it is its stand-in's, moved to its rate.
        trees: train LightGBM beside it, on the same columns, and tell both.
    """

    name: str
    folder: str
    towers: str = "day0"
    runs: str = "runs"
    seed: int = 0
    threads: Annotated[int, msgspec.Meta(ge=0)] = 0
    place: tuple[Literal["position", "surface"], ...] = ("position",)
    kept: Annotated[float, msgspec.Meta(gt=0, le=0.6)] = 0.3
    long_watch_s: Annotated[float, msgspec.Meta(ge=0)] = 18.0
    fewest: Count = 300
    trees: bool = True
    form: RankerForm = RankerForm()
    learning: Learning = Learning()


def read(path: Path) -> RankerTraining:
    """The configuration in a TOML file.

    Raises:
        ConfigError: no such file, not TOML, an unknown or impossible setting; with its name.
    """
    try:
        return msgspec.toml.decode(path.read_bytes(), type=RankerTraining)
    except OSError as e:
        raise ConfigError(f"{path}: {e.strerror}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as e:
        raise ConfigError(f"{path}: {e}") from None
