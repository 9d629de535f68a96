"""From the videos that a person took to, to others: item-item neighbours and EASE."""

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse

from model_runtime.evaluation.baselines.taken import taken
from model_runtime.evaluation.queries import Queries
from model_runtime.evaluation.world import World


class _ItemToItem:
    """Scores are a person's history times a matrix of videos; the history is as of the query."""

    def __init__(self) -> None:
        self._world: World | None = None
        self._learned: NDArray[np.bool_] | None = None
        self._weights: Any = None

    def prepare(self, world: World, queries: Queries, learned: NDArray[np.bool_]) -> None:
        """Learn the matrix, once: a history grows with each event, the matrix does not."""
        if self._world is world and self._learned is learned:
            return
        matrix = taken(world, learned)
        self._world, self._learned, self._weights = world, learned, self._learn(matrix)

    def scores(self, queries: Queries) -> NDArray[np.float32]:
        """(q, m) sums over the history."""
        assert self._world is not None
        history = self._world.histories(queries.user, queries.visible)
        out = history @ self._weights
        return np.asarray(out.toarray() if sparse.issparse(out) else out, np.float32)

    def _learn(self, taken: sparse.csr_matrix) -> Any:
        raise NotImplementedError


class ItemKnn(_ItemToItem):
    """Cosine of two videos' audiences, the k nearest of each (Sarwar et al. 2001; library: implicit)."""

    def __init__(self, k: int = 100) -> None:
        super().__init__()
        self._k = k
        self.name = "ItemKNN"

    def _learn(self, taken: sparse.csr_matrix) -> Any:
        from implicit.nearest_neighbours import CosineRecommender
        from implicit.utils import ParameterWarning

        model = CosineRecommender(K=self._k + 1, num_threads=1)  # each is its own nearest
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ParameterWarning)  # about a matrix of its own making
            model.fit(taken, show_progress=False)
        near = sparse.csr_matrix(model.similarity)
        near.setdiag(0)
        near.eliminate_zeros()
        return near.T.tocsr()


class Ease(_ItemToItem):
    """A linear model without a video's weight on itself, in closed form (Steck 2019).

    With P = (X'X + l2 I)^-1 the weights are -P_ij / P_jj, and 0 on the diagonal.
    """

    def __init__(self, l2: float = 300.0) -> None:
        super().__init__()
        self._l2 = l2
        self.name = "EASE"

    def _learn(self, taken: sparse.csr_matrix) -> NDArray[np.float32]:
        known = np.flatnonzero(np.asarray(taken.sum(axis=0)).ravel() > 0)
        some = taken[:, known]
        gram = (some.T @ some).toarray().astype(np.float32)
        gram[np.diag_indices_from(gram)] += self._l2
        inverse = linalg.inv(gram, overwrite_a=True, check_finite=False)
        inverse /= -np.diag(inverse)
        np.fill_diagonal(inverse, 0)
        weights = np.zeros((taken.shape[1], taken.shape[1]), np.float32)
        weights[np.ix_(known, known)] = inverse
        return weights
