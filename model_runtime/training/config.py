"""All settings of a training run, towers and ranker: one frozen tree, read from TOML.

A wrong name is refused.
"""

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from contracts.errors import ConfigError
from contracts.features import COSINE
from model_runtime.forms import ItemForm, UserForm
from model_runtime.ranker_form import RankerForm
from model_runtime.training.split import How, Positives

Positive = Annotated[int, msgspec.Meta(ge=1)]
Share = Annotated[float, msgspec.Meta(ge=0, lt=1)]


Kind = Literal["full", "sampled", "in_batch", "mixed", "bce"]


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of the file."""


class Items(ItemForm, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The item tower.

    Attributes:
        id_dropout: share of videos that go without their own vector in a step, so that one that
            nobody has seen gets a usable one from what is written about it.
    """

    id_dropout: Share = 0.1


class Users(UserForm, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The user tower.

    Attributes:
        dropout: of the input and of each layer's output.
        unknown: share of videos whose vector is hidden, as of one that is not in the catalog.
    """

    dropout: Share = 0.25
    unknown: Share = 0.01


class Data(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is learned from.

    Attributes:
        folder: in the training layout; a relative one lies beside the configuration.
        split: last: each person's last two likes are kept back; time: the likes of the last `kept`
            of all events (see `model_runtime.training.split`). A ranker is always cut by time.
        positives: liked, or any event about a video.
        refit: once validation has said how many epochs are best, train anew for as many on everything
            before the test: what happened last tells most of what happens next.
    """

    folder: str
    split: How = "time"
    kept: Annotated[float, msgspec.Meta(gt=0, le=0.5)] = 0.2
    positives: Positives = "liked"
    refit: bool = False


class Loss(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is made small.

    Attributes:
        kind: full: cross-entropy over all videos; sampled: over `negatives` drawn ones; in_batch:
            over the positives of the others in the batch; mixed: both, and `hard` ones of what the
            same person was shown and skipped; bce: each against its own `negatives`.
        log_q: correct for how likely a negative was to be drawn.
        popular: negatives are drawn with a probability of count^popular; 0 is uniform.
        temperature: at the start; it is learned.
    """

    kind: Kind = "mixed"
    negatives: Positive = 1024
    hard: Annotated[int, msgspec.Meta(ge=0)] = 2
    log_q: bool = True
    popular: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    temperature: Annotated[float, msgspec.Meta(gt=0.005, le=1)] = 0.06


class Optimiser(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """AdamW with warm-up and cosine.

    Attributes:
        tokens: events a step.
        window: events of one person in a step; of longer histories a part, half of them the last.
        hold: share of the steps after which the rate begins to fall.
        average: of the weights over about 1 / (1 - average) steps; what is evaluated and shipped.
    """

    epochs: Positive = 20
    tokens: Positive = 4096
    window: Annotated[int, msgspec.Meta(ge=2)] = 256
    rate: Annotated[float, msgspec.Meta(gt=0, le=1)] = 2e-3
    weight_decay: Annotated[float, msgspec.Meta(ge=0)] = 0.01
    warm_up: Annotated[int, msgspec.Meta(ge=0)] = 200
    hold: Share = 0.0
    clip: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    average: Share = 0.999


class Stopping(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Evaluate every so many epochs; give up when so many evaluations brought nothing."""

    every: Positive = 1
    patience: Positive = 5


class Learning(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the ranker learns: AdamW with a warm-up and a cosine.

    Attributes:
        rows: shown videos a step.
        dropout: of the hidden layers.
        forget: share of names that are hidden, so that one that training never saw is no surprise.
        average: of the weights over about 1 / (1 - average) steps; what is validated and shipped.
        patience: epochs without a better validation after which it ends.
        seen: a name, or a cross, that fewer rows have gets no weights of its own.
    """

    epochs: Positive = 15
    rows: Positive = 512
    rate: Annotated[float, msgspec.Meta(gt=0, le=1)] = 2e-3
    weight_decay: Annotated[float, msgspec.Meta(ge=0)] = 0.02
    dropout: Share = 0.2
    forget: Share = 0.1
    average: Share = 0.99
    patience: Positive = 3
    seen: Positive = 10


class Rank(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The ranker, which learns from what was shown; without this table the bundle has the hand-set one.

    Attributes:
        towers: whose vectors its columns are read with. Empty: those that this run trains; else day0,
            or a bundle's folder, whose other files the new bundle then holds, and no towers are trained.
        own: share of all events, the last before those that are kept back, that this run's towers leave to
            the ranker. 0: they learn from all, and the ranker does not read `cosine`, since of likes that
            they know by heart their vectors say more than they will when serving (KuaiRand week, AUC of
            the click: 0.672 with it, 0.699 without, 0.697 with 0.3 left; the towers lose by that).
        bias: how what stands first is kept from being taken for what is liked. tower: a weight a head for
            each place is added to the logits; weights: what came of a video far down counts as often as
            people do not look there (see `ranker_propensity`); none. All are off when serving.
        place: what of the place a video was shown at the tower sees. Surfaces are pooled by default,
            since the ranker knows the surface as a column. Weights are of the position alone.
        long_watch_s: so many seconds watched are as good as a video watched to its end; 0: never.
        fewest: a head with fewer positives is not trained: it is its stand-in's, moved to its rate.
        trees: train LightGBM beside it, on the same columns, and tell both.
    """

    towers: str = ""
    own: Annotated[float, msgspec.Meta(ge=0, le=0.8)] = 0.0
    bias: Literal["tower", "weights", "none"] = "tower"
    place: tuple[Literal["position", "surface"], ...] = ("position",)
    long_watch_s: Annotated[float, msgspec.Meta(ge=0)] = 18.0
    fewest: Positive = 300
    trees: bool = True
    form: RankerForm = RankerForm()
    learning: Learning = Learning()


class Training(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One run.

    Attributes:
        name: of the run's folder, and of the bundle.
        runs: where run folders lie; a relative one lies beside the configuration.
        threads: of the CPU; 0: all.
        appeal: at the end learn how towers, statistics and ranker add up to one order
            (`model_runtime.appeal`), from what people took to in the validation's time; else the weights
            are hand-set.

    Raises:
        ValueError: towers that a ranker stands on would have learned what it learns from, or what came
            later, or next to nothing.
    """

    name: str
    data: Data
    runs: str = "runs"
    seed: int = 0
    threads: Annotated[int, msgspec.Meta(ge=0)] = 0
    items: Items = Items()
    users: Users = Users()
    loss: Loss = Loss()
    optimiser: Optimiser = Optimiser()
    stopping: Stopping = Stopping()
    rank: Rank | None = None
    appeal: bool = False

    @property
    def left_to_ranker(self) -> float:
        """Share of the events that the towers of this run do not learn from, as its ranker does."""
        return self.rank.own if self.rank and not self.rank.towers else 0.0

    @property
    def ranker(self) -> Rank | None:
        """What the ranker is told: without the columns that its towers have spoiled (`Rank.own`)."""
        if self.rank is None or self.rank.towers or self.rank.own:
            return self.rank
        form, spoiled = self.rank.form, COSINE.name
        numbers = tuple(name for name in form.numbers if name != spoiled)
        crosses = tuple(pair for pair in form.crosses if spoiled not in pair)
        form = msgspec.structs.replace(form, numbers=numbers, crosses=crosses)
        return msgspec.structs.replace(self.rank, form=form)

    def __post_init__(self) -> None:
        if self.data.kept + self.left_to_ranker > 0.9:
            raise ValueError(
                f"data.kept {self.data.kept} and rank.own {self.left_to_ranker} leave the towers less than "
                "a tenth of the events"
            )
        if self.left_to_ranker and self.data.refit:
            raise ValueError(
                "data.refit would have the towers learn what is left to the ranker: not both"
            )
        if self.appeal and self.data.split != "time":
            raise ValueError('appeal is learned by time: with it, it is data.split = "time"')
        if self.appeal and self.rank and self.rank.towers not in ("", "day0"):
            raise ValueError(
                "appeal is learned on towers that have not seen what it learns from: not with rank.towers "
                "of another run"
            )
        if self.rank and not self.rank.towers and self.data.split != "time":
            raise ValueError(
                "a ranker is judged by time, and its towers must not have learned from later: with [rank] "
                'it is data.split = "time", or rank.towers names towers that are there'
            )


def read(path: Path) -> Training:
    """The configuration in a TOML file.

    Raises:
        ConfigError: no such file, not TOML, an unknown or impossible setting; with its name.
    """
    try:
        return msgspec.toml.decode(path.read_bytes(), type=Training)
    except OSError as e:
        raise ConfigError(f"{path}: {e.strerror}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as e:
        raise ConfigError(f"{path}: {e}") from None
