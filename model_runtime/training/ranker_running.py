"""The second half of a run: a ranker on towers that are there, judged beside LightGBM.

<runs>/<name>/ranker/<bundle>/config.json     what it was told, and a hash of the towers
<runs>/<name>/ranker/<bundle>/checkpoint.pt   after the last whole epoch
<runs>/<name>/ranker/<bundle>/report.json     epochs, and every head beside LightGBM's on the test
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from contracts.errors import BundleError
from contracts.settings import ModelSettings
from model_runtime import appeal, bundles, day0, manifest, ranker_files
from model_runtime.learned_ranker import LearnedRanker
from model_runtime.manifest import Manifest
from model_runtime.store import Store
from model_runtime.training.config import Rank, Training
from model_runtime.training.examples import read_examples, shown_in
from model_runtime.training.log import Log
from model_runtime.training.outcomes import outcomes
from model_runtime.training.ranker_comparing import compared
from model_runtime.training.ranker_fitting import RankerFitting
from model_runtime.training.ranker_result import finished, uncalibrated
from model_runtime.training.ranker_rows import (
    Rows,
    cut,
    edges_of,
    fit_encoder,
    rows_of,
    watch_edges_s,
)
from model_runtime.training.ranker_targets import targets
from model_runtime.training.run_folder import same_run
from model_runtime.training.shown import Shown
from model_runtime.training.split import moments
from model_runtime.training.watching import Watch

Files = Mapping[str, bytes]


def ranked(
    config: Training, rank: Rank, towers: tuple[Manifest, Files], log: Log, source: Path,
    folder: Path, watch: Watch,
) -> tuple[Manifest, Files, dict[str, Any]]:  # fmt: skip
    """The towers' bundle with a ranker, not written yet, and what its heads reach.

    Columns are what serving would have seen at each impression, with the vectors of these towers.

    Args:
        source: the log's folder; folder: the run's.

    Raises:
        DatasetError: nothing was shown, or all that was had the same outcome.
        ConfigError: the folder holds the ranker of another configuration, or of other towers.
    """
    watch.stage("what was shown")
    made, files = towers
    folder = _folder(folder / "ranker" / made.id, config, rank, files)
    bundle = bundles.build(made, files, ModelSettings())
    examples = read_examples(source, log, bundle)
    rows = rows_of(examples, rank)
    times = _moments(config, log, examples.shown)
    parts = cut(rows, examples.shown.at_ms, times)
    watch.stage("ranker", rank.learning.epochs)
    weights, report = fit(rank, config.seed, parts, len(examples.shown.surfaces), folder, watch)
    told = msgspec.json.format(msgspec.json.encode({"data": log.about.name, **report}))
    (folder / "report.json").write_bytes(told)  # what is no number is null
    about = {
        "training": _training(config, rank, made),
        "data": {**made.data, "shown": {"name": log.about.name, **fingerprint(rows)}},
        "metrics": {**made.metrics, **report["metrics"]},
    }
    return *with_ranker(made, files, rank, weights, about), report["heads"]


def check(config: Training, rank: Rank, log: Log, source: Path) -> None:
    """Say before the first epoch of the towers what the ranker would say after the last.

    Raises:
        DatasetError: nothing was shown, or all that was had the same outcome.
    """
    shown = shown_in(source, log)
    duration_ms = np.array([video.duration_ms or 0 for video in log.videos], np.int32)
    came = targets(outcomes(log, shown), duration_ms[shown.item], rank.long_watch_s)
    edges_of(came.labels, shown.at_ms, _moments(config, log, shown))


def fit(
    rank: Rank, seed: int, parts: tuple[Rows, Rows, Rows], surfaces: int, folder: Path | None,
    watch: Watch,
) -> tuple[dict[str, Any], dict[str, Any]]:  # fmt: skip
    """The weights that serve, and the report: epochs, heads and metrics."""
    learned, validation = parts[:2]
    encoder = fit_encoder(learned, rank.form, rank.learning.seen)
    edges_s = watch_edges_s(learned, rank.form.watch_bins)
    checkpoint = folder / "checkpoint.pt" if folder else None
    fitting = RankerFitting(rank, seed, encoder, edges_s, learned, validation, surfaces, checkpoint)
    model = fitting.run(watch)
    raw = uncalibrated(model, encoder, edges_s)
    bare = LearnedRanker(rank.form, raw)
    weights = finished(raw, bare, learned, validation, rank.fewest)
    heads = compared(rank, seed, bare, LearnedRanker(rank.form, weights), model, parts)
    metrics = {f"{name}.auc": head["auc"]["ranker"][0] for name, head in heads.items()}
    metrics |= {
        f"{n}.calibration_error": h["calibration_error"]
        for n, h in heads.items()
        if "calibration_error" in h
    }
    known = {name: value for name, value in metrics.items() if np.isfinite(value)}
    report = {"rows": [len(part) for part in parts], "epochs": fitting.epochs, "heads": heads}
    return weights, report | {"metrics": known}


def read_towers(towers: str, bundle_id: str, beside: Path) -> tuple[Manifest, Files]:
    """The bundle whose towers a ranker stands on, under the id of the new one.

    Raises:
        BundleError: it cannot be read.
    """
    if towers == day0.ID:
        built, files = day0.Day0().bundle(), {day0.WEIGHTS: msgspec.json.encode(day0.Day0())}
        made = manifest.draft(
            bundle_id, day0.KIND, dim=built.users.dim, hidden=built.users.hidden,
            features=built.ranker.features, files=files,
        )  # fmt: skip
        return made, files
    path = (beside / towers).resolve()
    if not path.is_dir():
        raise BundleError(f"towers {towers!r}: {path} is no folder of a bundle")
    found, files = manifest.read(Store(path.parent), path.name, renamed=True)
    return msgspec.structs.replace(found, id=manifest.checked_name(bundle_id), seal=""), files


def fingerprint(rows: Rows) -> dict[str, Any]:
    """What was trained on: how much was shown, and a hash of columns and outcomes."""
    digest = hashlib.sha256()
    of = rows.targets
    for column in (*rows.columns.values(), of.labels, of.watched_s, rows.person):
        digest.update(np.ascontiguousarray(column).tobytes())
    return {"rows": len(rows), "sha256": digest.hexdigest()}


def _training(config: Training, rank: Rank, made: Manifest) -> dict[str, Any]:
    """What the bundle says of its training: of towers from elsewhere, what they said themselves."""
    told: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(config))
    if not rank.towers:
        return told
    own = {"name": config.name, "seed": config.seed, "data": told["data"]}
    return {**made.training, "rank": {**told["rank"], **own}}


def with_ranker(
    made: Manifest, files: Files, rank: Rank, weights: Mapping[str, Any], about: dict[str, Any]
) -> tuple[Manifest, Files]:
    """The towers' files with the ranker's, as a bundle of the towers' kind."""
    other = {*ranker_files.NAMES, appeal.FILE}  # an appeal was learned on the heads of before
    kept = {name: content for name, content in files.items() if name not in other}
    whole = {**kept, **ranker_files.to_files(rank.form, weights)}
    drafted = manifest.draft(
        made.id, made.kind, dim=made.dim, hidden=made.hidden, features=rank.form.features,
        files=whole, embedding_size=made.embedding_size, **about,
    )  # fmt: skip
    return drafted, whole


def _moments(config: Training, log: Log, shown: Shown) -> tuple[int, ...]:
    """When begins what the ranker learns from, its validation, its test.

    On towers of this run the others are those of the towers too, and the first is where those stop
    learning, if they leave anything.
    """
    kept, left = config.data.kept, config.left_to_ranker
    if config.rank and config.rank.towers:
        return 0, *moments(shown.at_ms, kept, kept / 2)
    times = log.rows["broker_ms"]
    return moments(times, kept + left)[0] if left else 0, *moments(times, kept, kept / 2)


def _folder(path: Path, config: Training, rank: Rank, towers: Files) -> Path:
    """Where the ranker's files lie; a checkpoint of other towers is not gone on from.

    Raises:
        ConfigError: it holds another run.
    """
    digest = hashlib.sha256(b"".join(towers[name] for name in sorted(towers))).hexdigest()
    data = {"folder": config.data.folder, "kept": config.data.kept}
    same_run(path, {"towers": digest, "seed": config.seed, "data": data,
                    "rank": msgspec.to_builtins(rank)})  # fmt: skip
    return path
