"""What a ranker learns from, cut by time, and the encoder that its learned part gives."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts.batch import Column
from contracts.errors import DatasetError
from contracts.models import F32
from model_runtime.ranker_form import RankerForm
from model_runtime.ranker_inputs import Encoder
from model_runtime.training.config import Rank
from model_runtime.training.examples import Examples
from model_runtime.training.ranker_model import Place
from model_runtime.training.ranker_targets import Targets, targets

_MINUTE_S: Final = 60.0


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """n shown videos: what was known, where they stood, what came of them.

    Attributes:
        person: (n,) intp; item: (n,) int32, which video.
    """

    columns: dict[str, Column]
    place: Place
    targets: Targets
    person: NDArray[np.intp]
    item: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.person)

    def take(self, rows: NDArray[np.intp] | slice) -> "Rows":
        """These rows."""
        t, p = self.targets, self.place
        return Rows(
            {name: column[rows] for name, column in self.columns.items()},
            Place(p.position[rows], p.surface[rows]),
            Targets(t.labels[rows], t.watched_s[rows], t.ended[rows]),
            self.person[rows],
            self.item[rows],
        )


def rows_of(examples: Examples, rank: Rank) -> Rows:
    """All examples, by time; the columns that the form reads, and of the place what is asked for."""
    shown = examples.shown
    position, surface = (
        column.astype(np.int64) if name in rank.place else np.zeros(len(examples), np.int64)
        for name, column in (("position", shown.position), ("surface", shown.surface))
    )
    return Rows(
        {name: examples.columns[name] for name in rank.form.features},
        Place(position, surface),
        targets(examples.outcomes, examples.columns["duration_ms"], rank.long_watch_s),
        shown.user,
        shown.item,
    )


def cut(rows: Rows, at_ms: NDArray[np.int64], moments: tuple[int, ...]) -> tuple[Rows, Rows, Rows]:
    """Learned, validation, test: since the first moment, since the second, since the third.

    Args:
        at_ms: (n,) ascending.

    Raises:
        DatasetError: a part is empty, or no head has both answers in what is learned.
    """
    first, a, b = edges_of(rows.targets.labels, at_ms, moments)
    return rows.take(slice(first, a)), rows.take(slice(a, b)), rows.take(slice(b, len(rows)))


def edges_of(
    labels: F32, at_ms: NDArray[np.int64], moments: tuple[int, ...]
) -> tuple[int, int, int]:
    """Where the three parts begin; arguments and errors as of `cut`."""
    n = len(at_ms)
    first, a, b = np.searchsorted(at_ms, moments, "left").tolist()
    for name, rows in (("learn from", a - first), ("validate on", b - a), ("test on", n - b)):
        if not rows:
            raise DatasetError(
                f"{n:,} videos that were shown leave nothing to {name}: not enough times, or data.kept "
                "and rank.own do not fit them"
            )
    rates = labels[first:a].mean(axis=0)
    if not ((rates > 0) & (rates < 1)).any():
        raise DatasetError(
            f"of the {a - first:,} rows to learn from all had one outcome: there is nothing to tell apart"
        )
    return int(first), int(a), int(b)


def fit_encoder(rows: Rows, form: RankerForm, seen: int) -> Encoder:
    """Edges at the quantiles of each number, rows for names and crosses that `seen` rows have."""
    blank = Encoder(form, np.full((len(form.numbers), form.bins + 1), np.inf, np.float32), _NONE)
    values = blank.numbers(rows.columns, len(rows))
    edges = np.stack([_edges(column, form.bins) for column in values.T])
    keys = Encoder(form, edges, _NONE).keys_of(rows.columns, values)
    keys, counts = np.unique(keys, return_counts=True)
    return Encoder(form, edges, keys[(counts >= seen) & (keys != 0)])


def watch_edges_s(rows: Rows, pieces: int) -> F32:
    """(pieces + 1,) seconds from 0: quantiles of what was watched; a minute where nothing tells it."""
    watched = rows.targets.watched_s
    watched = watched[np.isfinite(watched) & (watched > 0)]
    if not len(watched):
        return np.linspace(0, _MINUTE_S, pieces + 1, dtype=np.float32)
    last = max(float(np.quantile(watched, 0.98)), 1.0)
    inner = np.quantile(watched, np.arange(1, pieces) / pieces)
    edges = np.unique(np.r_[0.0, np.round(inner[inner < last], 1), last].astype(np.float32))
    while len(edges) < pieces + 1:  # equal quantiles: halve the widest pieces
        widest = int(np.argmax(np.diff(edges)))
        edges = np.insert(edges, widest + 1, edges[widest : widest + 2].mean())
    return edges


_NONE: Final = np.zeros(0, np.int64)


def _edges(values: F32, bins: int) -> F32:
    """(bins + 1,) ascending edges, +inf beyond the last; the same value everywhere gives no piece.

    A value that many rows have is an edge itself; the others' quantiles fill up. (Quantiles of all
    would all fall on the zero that most people have in a column.)
    """
    found, counts = np.unique(values, return_counts=True)
    heavy = counts > len(values) / bins
    rest = values[~np.isin(values, found[heavy])]
    out = np.full(bins + 1, np.inf, np.float32)
    edges = np.union1d(found[heavy], found[[0, -1]])[: bins + 1]
    if free := bins + 1 - len(edges):
        edges = (
            np.union1d(edges, np.quantile(rest, np.linspace(0, 1, free + 2)[1:-1]))
            if len(rest)
            else edges
        )
    edges = np.unique(edges.astype(np.float32))
    if len(edges) > 1:
        out[: len(edges)] = edges
    return out
