"""The day-0 bundle, and a catalogue of videos that it can tell apart."""

from typing import Any

import numpy as np

from contracts.videos import Video
from model_runtime.day0 import Day0

BUNDLE = Day0().bundle()
CATEGORIES = ("cooking", "football", "chess", "travel", "street food", "jazz", "physics", "cats")


def video(i: int, **more: Any) -> Video:
    return Video(video_id=f"v{i}", published_at=1_700_000_000_000, **more)


def catalogue(n: int) -> tuple[list[Video], np.ndarray[Any, Any]]:
    """`n` videos of all categories in turn; titles, tags and creators are shared across them."""
    rng = np.random.default_rng(7)
    videos = [
        video(
            i,
            title=f"clip about {rng.integers(60)} and {rng.integers(60)}",
            tags=(f"tag{rng.integers(20)}",),
            category=CATEGORIES[i % len(CATEGORIES)],
            creator_id=f"c{rng.integers(40)}",
            language="de",
        )
        for i in range(n)
    ]
    return videos, np.arange(n) % len(CATEGORIES)
