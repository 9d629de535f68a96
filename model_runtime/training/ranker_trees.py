"""LightGBM on the very same columns, a model a head: what most teams would start with."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from model_runtime.ranker_form import PROBABILITIES, RankerForm
from model_runtime.training.ranker_rows import Rows

# Of the sizes and rates tried on the KuaiRand week the best by validation, for each head on its own.
_LEAVES: Final = (7, 15, 31)
_ROUNDS, _PATIENCE = 1000, 50
_COMMON: Final[dict[str, Any]] = {
    "learning_rate": 0.05, "min_data_in_leaf": 50, "feature_fraction": 0.8, "bagging_fraction": 0.8,
    "bagging_freq": 1, "lambda_l2": 5.0, "cat_smooth": 30.0, "verbose": -1, "deterministic": True,
}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """(n, columns) float64 with names of the columns; `named` are categorical."""

    values: NDArray[np.float64]
    columns: list[str]
    named: list[str]


def table(rows: Rows, form: RankerForm, learned: Rows, place: bool) -> Table:
    """The columns that the ranker reads, as trees read them.

    Args:
        learned: whose names get a code; others are missing.
        place: position and surface too.
    """
    columns: dict[str, NDArray[Any]] = {name: rows.columns[name] for name in form.numbers}
    named = []
    for name in form.names:
        column, known = rows.columns[name], learned.columns[name]
        for i in range(column.shape[1] if column.ndim > 1 else 1):
            one = f"{name}_{i}" if column.ndim > 1 else name
            pair = (column[:, i], known[:, i]) if column.ndim > 1 else (column, known)
            columns[one] = _coded(*pair)
            named.append(one)
    if place:
        columns |= {"position": rows.place.position, "place": rows.place.surface}
        named.append("place")
    return Table(np.stack(list(columns.values()), axis=1).astype(np.float64), list(columns), named)


def _coded(values: NDArray[Any], known: NDArray[Any]) -> NDArray[np.float64]:
    """Rank of each value by how often `known` has it, NaN where it never has."""
    names, counts = np.unique(known, return_counts=True)
    rank = np.empty(len(names))
    rank[np.argsort(-counts, kind="stable")] = np.arange(len(names))
    at = np.minimum(np.searchsorted(names, values), len(names) - 1)
    return np.where(names[at] == values, rank[at], np.nan)


def trees(
    learned: Rows, validation: Rows, test: Rows, form: RankerForm, seed: int, place: bool
) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Head -> (validation, test) predictions; the number of trees and leaves chosen by validation.

    `watch_s` is a regression of log(1 + seconds): trees have no censored loss of their own.
    """
    tables = [table(rows, form, learned, place) for rows in (learned, validation, test)]
    out = {}
    for i, name in enumerate(PROBABILITIES):
        wanted = [rows.targets.labels[:, i] for rows in (learned, validation)]
        if min(len(np.unique(y)) for y in wanted) > 1:
            out[name] = _fitted(tables, wanted, "binary", seed)
    seconds = [np.log1p(rows.targets.watched_s) for rows in (learned, validation)]
    out["watch_s"] = _fitted(tables, seconds, "regression", seed)
    return out


def _fitted(
    tables: list[Table], wanted: list[NDArray[Any]], objective: str, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    import lightgbm

    sets: list[Any] = []
    for one, y in zip(tables, wanted, strict=False):
        known = np.isfinite(y)
        sets.append(
            lightgbm.Dataset(
                one.values[known], y[known], feature_name=one.columns,
                categorical_feature=one.named, params={"verbose": -1},
                reference=sets[0] if sets else None, free_raw_data=False,
            )
        )  # fmt: skip
    tried: list[tuple[float, int, Any]] = []
    for leaves in _LEAVES:
        settings = _COMMON | {"objective": objective, "num_leaves": leaves, "seed": seed}
        model = lightgbm.train(
            settings, sets[0], _ROUNDS, valid_sets=[sets[1]],
            callbacks=[lightgbm.early_stopping(_PATIENCE, verbose=False)],
        )  # fmt: skip
        loss = next(iter(model.best_score["valid_0"].values()))
        tried.append((loss, len(tried), model))
    best = min(tried)[2]
    return best.predict(tables[1].values), best.predict(tables[2].values)
