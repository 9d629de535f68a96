"""The bundle kind `two_tower`: trained towers, and a linear ranker until a trained one joins them.

towers.json           the forms of both towers and the ranker's heads
users.safetensors     weights of the user tower
items.safetensors     weights of the item tower
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
import numpy as np

from contracts.errors import BundleError
from contracts.models import F32, Bundle
from contracts.settings import ModelSettings
from model_runtime import manifest
from model_runtime.forms import ItemForm, UserForm
from model_runtime.learned_items import LearnedItems
from model_runtime.linear_ranker import HEADS, Head, LinearRanker
from model_runtime.manifest import Manifest
from model_runtime.recurrent_users import RecurrentUsers

KIND: Final = "two_tower"
FORMS, USERS, ITEMS = "towers.json", "users.safetensors", "items.safetensors"


class Towers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `towers.json` says."""

    users: UserForm
    items: ItemForm
    heads: dict[str, Head] = msgspec.field(default_factory=lambda: dict(HEADS))


def load(found: Manifest, files: Mapping[str, bytes], settings: ModelSettings) -> Bundle:
    """The bundle of a manifest and its files.

    Raises:
        BundleError: a file or a weight is missing or has another shape.
    """
    del settings
    try:
        return build(found.id, *read(found, files))
    except KeyError as e:
        raise BundleError(f"bundle {found.id!r} lacks the weights {e}") from None
    except (ValueError, IndexError) as e:
        raise BundleError(f"bundle {found.id!r}: {e}") from None


def read(
    found: Manifest, files: Mapping[str, bytes]
) -> tuple[Towers, dict[str, Any], dict[str, Any]]:
    """The forms, the user tower's weights and the item tower's.

    Raises:
        BundleError: a file is missing or cannot be read.
    """
    if missing := sorted({FORMS, USERS, ITEMS} - set(files)):
        raise BundleError(f"bundle {found.id!r} has no {', '.join(missing)}")
    try:
        towers = msgspec.json.decode(files[FORMS], type=Towers)
        return towers, _weights(files[USERS]), _weights(files[ITEMS])
    except (msgspec.DecodeError, ValueError) as e:
        raise BundleError(f"bundle {found.id!r}: {e}") from None


def build(
    bundle_id: str, towers: Towers, users: Mapping[str, F32], items: Mapping[str, Any]
) -> Bundle:
    """The three models of weights by name."""
    return Bundle(
        bundle_id,
        RecurrentUsers(towers.users, users),
        LearnedItems(towers.items, items),
        LinearRanker(towers.heads),
    )


def drafted(
    bundle_id: str, towers: Towers, users: Mapping[str, F32], items: Mapping[str, Any], **about: Any,
) -> tuple[Manifest, dict[str, bytes]]:  # fmt: skip
    """Manifest and files of a bundle that is not written yet; `about` as in `manifest.draft`.

    Raises:
        BundleError: the id is no name.
    """
    from safetensors.numpy import save

    built = build(bundle_id, towers, users, items)
    size = items["content"].shape[0] or None
    files = {FORMS: msgspec.json.encode(towers), USERS: save(dict(users)), ITEMS: save(dict(items))}
    made = manifest.draft(
        bundle_id, KIND, dim=built.users.dim, hidden=built.users.hidden, files=files,
        features=built.ranker.features, embedding_size=size, **about,
    )  # fmt: skip
    return made, files


def _weights(content: bytes) -> dict[str, Any]:
    from safetensors import SafetensorError
    from safetensors.numpy import load as read

    try:
        weights: dict[str, Any] = read(content)
    except SafetensorError as e:
        raise ValueError(f"weights cannot be read: {e}") from None
    for name, array in weights.items():
        if array.dtype == np.float32 and not np.isfinite(array).all():
            raise ValueError(f"the weights {name} hold a value that is not finite")
    return weights
