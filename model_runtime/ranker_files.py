"""The trained ranker in a bundle's folder: two files that may stand beside the towers of any kind.

ranker.json           its form
ranker.safetensors    its weights
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from contracts.errors import BundleError
from model_runtime.learned_ranker import LearnedRanker
from model_runtime.ranker_form import RankerForm

FORM, WEIGHTS = "ranker.json", "ranker.safetensors"
NAMES: Final = (FORM, WEIGHTS)


def to_files(form: RankerForm, weights: Mapping[str, NDArray[Any]]) -> dict[str, bytes]:
    """What a bundle holds of a ranker."""
    from safetensors.numpy import save

    whole = {name: np.ascontiguousarray(array) for name, array in weights.items()}
    return {FORM: msgspec.json.encode(form), WEIGHTS: save(whole)}


def from_files(bundle_id: str, files: Mapping[str, bytes]) -> LearnedRanker | None:
    """The ranker of a bundle's files; None where they hold none.

    Raises:
        BundleError: one file without the other, or weights that do not fit the form.
    """
    if (found := read(bundle_id, files)) is None:
        return None
    try:
        return LearnedRanker(*found)
    except ValueError as e:
        raise BundleError(f"bundle {bundle_id!r}: the ranker cannot be read: {e}") from None


def read(
    bundle_id: str, files: Mapping[str, bytes]
) -> tuple[RankerForm, dict[str, NDArray[Any]]] | None:
    """Form and weights; None where the files hold no ranker.

    Raises:
        BundleError: one file without the other, or one that cannot be read.
    """
    there = [name for name in NAMES if name in files]
    if not there:
        return None
    if len(there) < len(NAMES):
        raise BundleError(f"bundle {bundle_id!r} has {there[0]} alone, of {' and '.join(NAMES)}")
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        return msgspec.json.decode(files[FORM], type=RankerForm), load(files[WEIGHTS])
    except (msgspec.DecodeError, SafetensorError, ValueError) as e:
        raise BundleError(f"bundle {bundle_id!r}: the ranker cannot be read: {e}") from None
