"""Validation: the rank of what was liked next among all videos that the person had not met."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from model_runtime.training.batches import Ints, histories
from model_runtime.training.model import TwoTower
from model_runtime.training.sequences import Sequences

_TOKENS = 32_768
_MOST = 10_000  # people; more do not make a choice between epochs better


@dataclass(frozen=True, slots=True)
class Quality:
    """Means over the people asked, at ten."""

    hr: float
    ndcg: float
    people: int


def ranks(model: TwoTower, sequences: Sequences, asked: Ints) -> NDArray[np.int64]:
    """(k,) places, from 0, of what each asked event is about, in the order of the vectors.

    All of the history before it is read; videos in it are not ranked. A tie counts against us.
    """
    model.eval()
    out: list[NDArray[np.int64]] = []
    with torch.no_grad():
        table = model.table(np.arange(sequences.videos))
        for events, batch in histories(sequences, model.config.users, asked, _TOKENS):
            viewers = model.viewers(batch, table)
            scores = (viewers @ table.vectors[:-1].T).cpu().numpy()
            out.append(_places(scores, sequences, events))
    return np.concatenate(out) if out else np.zeros(0, np.int64)


def quality(model: TwoTower, sequences: Sequences, asked: Ints) -> Quality:
    """HR@10 and NDCG@10 of at most 10,000 of the asked events, evenly chosen."""
    if len(asked) > _MOST:
        asked = asked[np.linspace(0, len(asked) - 1, _MOST).astype(np.int64)]
    places = ranks(model, sequences, asked)
    hit = places < 10
    gain = np.where(hit, 1 / np.log2(places + 2), 0.0)
    n = max(len(places), 1)
    return Quality(float(hit.sum() / n), float(gain.sum() / n), len(places))


def _places(scores: NDArray[np.float32], sequences: Sequences, events: Ints) -> NDArray[np.int64]:
    person = np.searchsorted(sequences.offsets, events, "right") - 1
    places = np.empty(len(events), np.int64)
    for i, event in enumerate(events.tolist()):
        target = sequences.item[event]
        own = scores[i, target]
        met = sequences.item[sequences.offsets[person[i]] : event]
        scores[i, met[met >= 0]] = -np.inf
        scores[i, target] = -np.inf
        places[i] = (scores[i] >= own).sum()
    return places
