"""Day-0 and trained models, the fold of video statistics, and the board that serves them."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from bench import _towers as towers_of
from bench._ranker import candidates
from bench._ranker import ranker as ranker_of
from bench._report import Figure, report
from contracts.batch import CandidateBatch
from contracts.engine_records import Neighbours, VideoStats
from contracts.features import FEATURE_COLUMNS
from contracts.models import StepInputs
from contracts.settings import ModelSettings, StatsSettings
from contracts.stats_rows import of_records
from contracts.user_record import new_profiles
from contracts.videos import Video
from model_runtime import bundles
from model_runtime.forms import Cell, UserForm
from model_runtime.ranker_form import RankerForm
from operators.stats_board import StatsBoard
from operators.video_stats import PartitionStats, StatEvents

NOW_MS = 1_700_000_000_000
BOARD_VIDEOS = 200_000
Figures = dict[str, float]


def median_ms(run: Callable[[], Any], times: int = 50) -> float:
    """Milliseconds of the median call."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        run()
        taken.append((time.perf_counter() - began) * 1e3)
    return float(np.median(taken))


def towers() -> Figures:
    """Item tower with words, with embeddings; user tower; ranker."""
    rng, bundle = np.random.default_rng(0), bundles.load(ModelSettings())
    vocabulary = np.array([f"word{i}" for i in range(5000)])

    def video(i: int, size: int = 0) -> Video:
        return Video(
            f"v{i}",
            NOW_MS,
            " ".join(rng.choice(vocabulary, 8)),
            " ".join(rng.choice(vocabulary, 30)),
            tuple(rng.choice(vocabulary, 4).tolist()),
            f"category {i % 20}",
            "de",
            creator_id=f"c{i % 100}",
            embedding=tuple(rng.standard_normal(size).tolist()) if size else None,
        )

    texts, given = [video(i) for i in range(250)], [video(i, 768) for i in range(250)]
    items = np.repeat(bundle.items.embed(texts), 8, axis=0)
    n = len(items)
    inputs = StepInputs(
        items,
        rng.integers(0, 15, n).astype(np.uint8),
        rng.random(n).astype(np.float32),
        rng.exponential(100, n).astype(np.float32),
    )
    columns = {spec.name: rng.random(500).astype(np.float32) for spec in FEATURE_COLUMNS}
    batch = CandidateBatch(np.arange(500), np.zeros(500, np.uint32), columns)
    return {
        "item tower, words, videos/s": 250e3 / median_ms(lambda: bundle.items.embed(texts)),
        "item tower, 768-d embedding, videos/s": 250e3
        / median_ms(lambda: bundle.items.embed(given)),
        "user tower, step of 2,000, ms": median_ms(lambda: bundle.users.step(items, inputs)),
        "user tower, read-out of 2,000, ms": median_ms(lambda: bundle.users.read_out(items)),
        "ranker, 500 candidates, ms": median_ms(lambda: bundle.ranker.predict(batch)),
        **trained_ranker(),
    }


def trained_ranker() -> Figures:
    """Of the form that ships: wall clock, and processor time of all threads."""
    rng = np.random.default_rng(3)
    some = candidates(rng, 500)
    ranker = ranker_of(rng, RankerForm(), some)
    ranker.predict(some)
    began, times = time.process_time(), 200
    taken = median_ms(lambda: ranker.predict(some), times)
    spent = (time.process_time() - began) / times * 1e3
    return {
        "trained ranker, 500 candidates, ms": taken,
        "trained ranker, 500 candidates, processor ms": spent,
    }


def trained() -> Figures:
    """Towers that learn: a step of 1,000 people by kind of recurrence, and 1,000 videos."""
    rng, n = np.random.default_rng(0), 1000
    vectors = rng.standard_normal((n, 64)).astype(np.float32)
    inputs = StepInputs(
        vectors, rng.integers(0, 15, n).astype(np.uint8), rng.random(n).astype(np.float32),
        rng.exponential(100, n).astype(np.float32),
    )  # fmt: skip
    cells: tuple[Cell, ...] = ("rg_lru", "min_gru", "lru")
    forms = {f"{cell}, 4 layers": UserForm(cell=cell, layers=4, state="float32") for cell in cells}
    forms["rg_lru, 4 layers, halves"] = UserForm(layers=4)
    forms["rg_lru, 2 layers of 128"] = UserForm(width=128, state="float32")
    forms["rg_lru, 2 layers"] = UserForm(state="float32")
    forms["rg_lru, 2 layers, halves (the default)"] = UserForm()
    figures = Figures()
    for name, form in forms.items():
        tower = towers_of.users(form)
        state = tower.init(new_profiles(n), vectors)
        figures[f"{name}: {tower.hidden * 4} bytes, step of 1,000, ms"] = median_ms(
            lambda tower=tower, state=state: tower.step(state, inputs)  # type: ignore[misc]
        )
        figures[f"{name}: read-out of 1,000, ms"] = median_ms(
            lambda tower=tower, state=state: tower.read_out(state)  # type: ignore[misc]
        )
    videos = [
        Video(f"v{i}", NOW_MS, f"word{i % 97} and word{i}", tags=(f"t{i % 50}",), category="c",
              creator_id=f"c{i % 100}", language="de", duration_ms=30_000)
        for i in range(n)
    ]  # fmt: skip
    embed = towers_of.items().embed
    return figures | {"trained item tower, videos/s": 1e6 / median_ms(lambda: embed(videos), 10)}


def events(rng: np.random.Generator, n: int, at_ms: int) -> StatEvents:
    """A skewed catalogue of 20,000 videos, 20,000 people."""
    videos = np.minimum((rng.pareto(0.9, n) * 20).astype(np.int64), 20_000) + 1
    return StatEvents(
        rng.integers(1, 20_000, n),
        videos * 1_000_003,
        rng.choice([1, 2, 2, 2, 3, 9, 13], n).astype(np.uint8),
        np.where(rng.random(n) < 0.2, np.nan, rng.random(n) * 1.2).astype(np.float32),
        np.full(n, -1, np.int32),
        at_ms + np.arange(n) // 3,
        rng.choice([100, 200, 300, 400, 500], n).astype(np.uint16),
    )


def statistics() -> Figures:
    """Batches of 5,000 events into one source partition, flushed after each second one."""
    rng, stats = np.random.default_rng(1), PartitionStats("events:0", StatsSettings())
    fold, flush = [], []
    for i in range(60):
        batch = events(rng, 5000, NOW_MS + i * 2000)
        fold.append(median_ms(lambda batch=batch: stats.fold_events(batch), 1))  # type: ignore[misc]
        if i % 2:
            flush.append(median_ms(stats.changed, 1))
            stats.saved()
    return {
        "statistics, fold of 5,000 events, median ms": float(np.median(fold)),
        "statistics, fold of 5,000 events, p90 ms": float(np.percentile(fold, 90)),
        "statistics, changes of 10,000 events, ms": float(np.median(flush)),
    }


def board() -> Figures:
    """Three sources, 24 neighbours a video."""
    rng, stats = np.random.default_rng(2), StatsBoard(StatsSettings())
    ids = rng.integers(1, 2**62, BOARD_VIDEOS)
    weights = tuple(np.linspace(10, 1, 24).tolist())
    apply = []
    for source in range(3):
        for first in range(0, BOARD_VIDEOS, 2000):
            beside = rng.choice(ids, (2000, 24)).tolist()
            states = of_records([
                VideoStats(
                    video, f"events:{source}", NOW_MS, (100.0, 30.0, 10.0, 3.0, 2.0),
                    float(rng.exponential(5)), {100: 1.0, 200: 1.0}, Neighbours(tuple(b), weights),
                )
                for video, b in zip(ids[first : first + 2000].tolist(), beside, strict=True)
            ])  # fmt: skip
            apply.append(median_ms(lambda states=states: stats.apply(states), 1))  # type: ignore[misc]
    some, ones = rng.choice(ids, 500), np.ones(10, np.float32)
    return {
        "board, 2,000 records applied, ms": float(np.median(apply)),
        "board of 200k videos, refresh of all lists, ms": median_ms(
            lambda: stats.refresh(NOW_MS, lambda of: (of % 30 + 1).astype(np.uint32)), 10
        ),
        "board, neighbours of 10 videos, ms": median_ms(
            lambda: stats.neighbours(some[:10], ones, 100), 200
        ),
        "board, rates of 500 videos, ms": median_ms(lambda: stats.rates(some, NOW_MS), 200),
    }


def main() -> None:
    """Measure, print, write."""
    measured = towers() | trained() | statistics() | board()
    figures = [Figure(what, value, _unit(what)) for what, value in measured.items()]
    report(
        "models",
        "day-0 models, trained towers and statistics",
        figures,
        "user tower, step of 2,000, ms",
    )


def _unit(what: str) -> str:
    return (
        what.rpartition(", ")[2]
        .removeprefix("median ")
        .removeprefix("p90 ")
        .removeprefix("processor ")
    )


if __name__ == "__main__":
    main()
