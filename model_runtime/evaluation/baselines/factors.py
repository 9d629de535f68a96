"""Matrix factorisation for implicit feedback, by alternating least squares (library: implicit)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from model_runtime.evaluation.baselines.taken import taken
from model_runtime.evaluation.queries import Queries
from model_runtime.evaluation.world import World


class Als:
    """iALS (Hu, Koren and Volinsky 2008); a person's factors are solved anew for each query."""

    name = "iALS"

    def __init__(
        self,
        factors: int = 64,
        l2: float = 0.05,
        alpha: float = 10.0,
        epochs: int = 20,
        seed: int = 0,
    ) -> None:
        self._options = {
            "factors": factors, "regularization": l2, "alpha": alpha, "iterations": epochs,
            "random_state": seed, "num_threads": 1, "use_gpu": False,
        }  # fmt: skip
        self._world: World | None = None
        self._learned: NDArray[np.bool_] | None = None
        self._model: Any = None

    def prepare(self, world: World, queries: Queries, learned: NDArray[np.bool_]) -> None:
        """Learn the videos' factors, once."""
        if self._world is world and self._learned is learned:
            return
        matrix = taken(world, learned)
        with threadpool_limits(1, "blas"):  # the library warns, and is slow, without
            from implicit.als import AlternatingLeastSquares

            self._model = AlternatingLeastSquares(**self._options)
            self._model.fit(matrix, show_progress=False)
        self._world, self._learned = world, learned

    def scores(self, queries: Queries) -> NDArray[np.float32]:
        """(q, m) products of factors."""
        assert self._world is not None
        history = self._world.histories(queries.user, queries.visible)
        with threadpool_limits(1, "blas"):
            person = self._model.recalculate_user(np.arange(len(queries)), history)
        return np.asarray(person @ self._model.item_factors.T, np.float32)
