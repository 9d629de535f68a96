"""What people tell of themselves, and where they are, reaches the towers that learned to listen."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contracts.events import Event, EventType
from contracts.models import Bundle
from contracts.profiles import Profile
from contracts.settings import FeedSettings, ModelSettings, Settings
from contracts.user_record import new_users, user_dtype
from model_runtime import bundles
from model_runtime.day0 import Day0
from model_runtime.training.config import read
from model_runtime.training.running import train
from operators.catalog import Catalog
from operators.derive import derive
from operators.profile_fold import fold_profile
from tests.api.test_feed import get, ids
from tests.api.worlds import SETTINGS, World, world
from tests.training.drawn import ALL, drawn_bundle
from tests.training.logs import START_MS, TASTES, videos, written
from tests.training.test_training import TOML, Silent

CLIPS = videos(60)
PATIENT = Settings(
    api=SETTINGS.api, feed=FeedSettings(deadline_ms=60_000, source_deadline_ms=30_000)
)
TELLING = TOML.replace(
    "[users]", '[users]\nprofile = ["interests"]\ncontext = ["weekday", "device"]'
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """On people who say which of three categories they like, like it, and skip the others."""
    folder = tmp_path_factory.mktemp("telling")
    rng, told = np.random.default_rng(0), []
    for i in range(2400):
        user, clip = int(rng.integers(48)), int(rng.integers(60))
        kind: EventType = "like" if user % 3 == clip % 3 else "skip"
        told.append(Event(f"e{i}", f"u{user}", kind, START_MS + i * 60_000, f"v{clip}"))
    people = [Profile(f"u{i}", interests=(TASTES[i % 3],)) for i in range(48)]
    written(folder / "log", CLIPS, people, told)
    (folder / "c.toml").write_text(TELLING.format(epochs=40))
    train(read(folder / "c.toml"), folder, Silent())
    store = str(folder / "runs/small/bundle")
    return bundles.load(ModelSettings(registry=store, bundle="small"))


def liked(made: World, user: str) -> list[int]:
    """How many of each taste the first page holds."""
    page = get(made, user_id=user, limit=12)
    assert page["degraded"] is None
    return [sum(int(v[1:]) % 3 == taste for v in ids(page)) for taste in range(3)]


def test_new_viewers_with_different_interests_get_different_first_feeds(trained: Bundle) -> None:
    made = world(CLIPS, PATIENT, bundle=trained)
    for user, interest in (("ann", "cooking"), ("bob", "chess"), ("cleo", "travel")):
        made.profile(user, interests=(interest,))
    pages = [liked(made, user) for user in ("ann", "bob", "cleo")]
    for taste, page in enumerate(pages):
        assert page[taste] == max(page) >= 6, f"{TASTES[taste]}: {pages}"


def catalog_of(bundle: Bundle) -> Catalog:
    catalog = Catalog(bundle.items.dim)
    catalog.upsert(CLIPS, bundle.items.embed(CLIPS), [(0, i) for i in range(len(CLIPS))])
    return catalog


def told(bundle: Bundle, **profile: Any) -> np.ndarray:
    """A record of somebody who has done nothing but this."""
    records = new_users(1, user_dtype(bundle.users.hidden, bundle.users.dim))
    derive(records, bundle, catalog_of(bundle))
    fold_profile(records[0], Profile("ann", **profile), bundle)
    return records


def test_after_a_promotion_people_begin_with_what_they_had_told(tmp_path: Path) -> None:
    drawn_bundle(tmp_path, "recurrent", CLIPS, ALL)
    recurrent = bundles.load(ModelSettings(registry=str(tmp_path), bundle="recurrent"))
    for new in (recurrent, Day0().bundle("other")):
        profile: dict[str, Any] = {"interests": ("cooking", "chess"), "age": 40, "country": "DE"}
        records, wanted = told(bundles.load(ModelSettings()), **profile), told(new, **profile)
        moved = new_users(1, wanted.dtype)
        for name in set(wanted.dtype.names or ()) - {"hidden", "vector"}:
            moved[name] = records[name]
        assert derive(moved, new, catalog_of(new)) == 1
        assert moved.tobytes() == wanted.tobytes()
        assert wanted["vector"].any()


def test_a_profile_that_says_less_than_the_one_before_is_the_one_that_counts() -> None:
    bundle = bundles.load(ModelSettings())
    records = told(bundle, interests=("cooking",))
    assert records["vector"].any()
    fold_profile(records[0], Profile("ann", country="DE"), bundle)
    assert not records["vector"].any()
