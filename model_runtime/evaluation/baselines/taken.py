"""Who took to what: the matrix that collaborative baselines learn from."""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from model_runtime.evaluation.world import World


def taken(world: World, learned: NDArray[np.bool_]) -> sparse.csr_matrix:
    """(people, videos) float32, 1 where a positive event that is learned from says so."""
    which = np.flatnonzero(learned & world.positive)
    person = np.searchsorted(world.people.offsets, which, "right") - 1
    cells = (np.ones(len(which), np.float32), (person, world.people.item[which]))
    out = sparse.csr_matrix(cells, (len(world.people), world.videos))
    out.data[:] = 1  # repeats add up
    return out
