"""Towers whose every weight says something, without the time of a training."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from contracts.videos import Video
from model_runtime import learned, manifest
from model_runtime.forms import ItemForm, UserForm
from model_runtime.learned import Towers
from model_runtime.recurrent_users import RecurrentUsers
from model_runtime.told import CONTEXT, PROFILE
from model_runtime.training.config import Items, Users
from model_runtime.training.item_tower import ItemTower, weights_of
from model_runtime.training.user_tower import UserTower

DIM = 64
ALL = Users(context=tuple(CONTEXT), profile=tuple(PROFILE))  # reads all that can be told


def drawn(config: Users, seed: int = 0) -> UserTower:
    """A user tower in its parallel form."""
    torch.manual_seed(seed)
    tower = UserTower(config, DIM).eval()
    with torch.no_grad():
        for p in tower.parameters():
            p.add_(0.1 * torch.randn(p.shape))
    return tower


def stepped(config: Users, tower: UserTower) -> RecurrentUsers:
    """The same in its step form."""
    weights = {name: p.detach().numpy() for name, p in tower.named_parameters()}
    return RecurrentUsers(form_of(config), weights)


def form_of(config: Users) -> UserForm:
    """What a bundle says of it."""
    return UserForm(**{n: getattr(config, n) for n in UserForm.__struct_fields__})


def drawn_bundle(store: Path, name: str, clips: Sequence[Video], config: Users) -> None:
    """Both towers as a bundle in a registry."""
    torch.manual_seed(1)
    items = ItemTower(Items(buckets=512), clips, np.ones(len(clips), bool)).eval()
    users = {n: p.detach().numpy() for n, p in drawn(config).named_parameters()}
    towers = Towers(form_of(config), ItemForm(buckets=512))
    manifest.put(store, *learned.drafted(name, towers, users, weights_of(items)))
