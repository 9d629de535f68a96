"""Weights of a bundle, and which of them a graph has taken: one that is left over would be lost."""

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from contracts.errors import BundleError


class Taken:
    """Weights by name; `all_of` says that nothing was left.

    A bundle may come from a later release, or from a change that reached the towers and not their
    graphs: a graph that leaves an input out would serve something else than the engine does.
    """

    def __init__(self, weights: Mapping[str, NDArray[Any]]) -> None:
        self._weights, self._left = weights, set(weights)

    def __getitem__(self, name: str) -> NDArray[Any]:
        self._left.discard(name)
        return self._weights[name]

    def __contains__(self, name: str) -> bool:
        return name in self._weights

    def all_of(self, graph: str, besides: Sequence[str] = ()) -> None:
        """Nothing may be left, but what another graph of the same weights takes.

        Raises:
            BundleError: something is; with its name.
        """
        if left := self._left.difference(besides):
            raise BundleError(
                f"{graph}: the graph has no place for the weights {', '.join(sorted(left))}"
            )
