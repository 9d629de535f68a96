"""Small generated logs for the tests of training and evaluation."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from contracts.events import Context, Event, EventType
from contracts.profiles import Profile
from contracts.videos import Video
from model_runtime.training.layout import About
from model_runtime.training.writing import Record, write_log

START_MS = 1_700_000_000_000
DAY_MS = 86_400_000
KINDS: tuple[EventType, ...] = (
    "click", "watch", "watch_complete", "like", "skip", "watch_50_percent", "rate", "not_interested",
)  # fmt: skip
TASTES = ("cooking", "chess", "travel")
CONTEXTS = (
    None,
    Context(device="phone", country="DE", language="de", connection="4g", surface="home"),
    Context(device="tv", country="AT", connection="wifi"),
    Context(language="en-GB", surface="search"),
)


def videos(n: int, published_ms: int = START_MS - 30 * DAY_MS) -> list[Video]:
    """n clips of three categories."""
    return [
        Video(f"v{i}", published_ms, f"clip {i} {TASTES[i % 3]}", category=TASTES[i % 3],
              duration_ms=20_000 + i, creator_id=f"c{i % 5}", tags=(TASTES[i % 3], f"t{i % 7}"),
              language="de")
        for i in range(n)
    ]  # fmt: skip


def events(n: int, people: int, clips: int, seed: int = 0, apart_ms: int = 60_000) -> list[Event]:
    """n events, in time; each person mostly likes one of three categories and skips the others."""
    rng = np.random.default_rng(seed)
    out = []
    for i in range(n):
        user, clip = int(rng.integers(people)), int(rng.integers(clips))
        kind = KINDS[int(rng.integers(len(KINDS)))]
        if user % 3 != clip % 3 and rng.random() < 0.7:
            kind = "skip"
        out.append(
            Event(
                f"e{i}", f"u{user}", kind, START_MS + i * apart_ms, f"v{clip}",
                watch_ms=int(rng.integers(20_000)) if kind == "watch" else None,
                rating=float(rng.integers(1, 6)) if kind == "rate" else None,
                context=CONTEXTS[i % len(CONTEXTS)],
            )
        )  # fmt: skip
    return out


def written(folder: Path, *records: Sequence[Record], about: About | None = None) -> Path:
    """The folder of a log that holds these."""
    write_log(folder, about or About(name="generated"), *records)
    return folder


def a_log(folder: Path, n: int = 600, people: int = 12, clips: int = 30, seed: int = 0) -> Path:
    """A whole generated log."""
    profiles = [Profile(f"u{i}", country="DE", language="de") for i in range(people)]
    return written(folder, videos(clips), profiles, events(n, people, clips, seed))
