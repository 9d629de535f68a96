"""One run of a ranker's training: from a configuration's file to a bundle and a report.

<runs>/<name>/config.json       what the run was told
<runs>/<name>/checkpoint.pt     after the last whole epoch: what a run killed later goes on from
<runs>/<name>/report.json       epochs, and every head beside LightGBM's on the test
<runs>/<name>/bundle/<name>     the towers' bundle with the new ranker (`headrace models publish`)
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from contracts.errors import BundleError, ConfigError
from contracts.models import Bundle
from contracts.settings import ModelSettings
from model_runtime import bundles, day0, manifest, ranker_files
from model_runtime.learned_ranker import LearnedRanker
from model_runtime.manifest import Manifest
from model_runtime.store import Store
from model_runtime.training.examples import read_examples
from model_runtime.training.log import read_log
from model_runtime.training.ranker_comparing import compared
from model_runtime.training.ranker_config import RankerTraining
from model_runtime.training.ranker_fitting import RankerFitting, Watch
from model_runtime.training.ranker_result import finished, uncalibrated
from model_runtime.training.ranker_rows import Rows, cut, fit_encoder, rows_of, watch_edges_s


def train_ranker(
    config: RankerTraining, beside: Path, watch: Watch
) -> tuple[Manifest, dict[str, Any]]:
    """Train (or go on), compare on the test once, write the bundle; its manifest and the report.

    Args:
        beside: what relative folders of the configuration are relative to.

    Raises:
        DatasetError: the log lacks something, or holds nothing to learn from.
        ConfigError: the run's folder holds another run.
        BundleError: the towers cannot be read, or the run has its bundle already.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    source, files, towers = read_towers(config.towers, beside)
    log = read_log(beside / config.folder)
    examples = read_examples(beside / config.folder, log, towers)
    rows = rows_of(examples, config)
    parts = cut(rows, examples.shown.at_ms, config.kept)
    folder = run_folder(beside / config.runs / config.name, config)
    weights, report = fit(config, parts, len(examples.shown.surfaces), folder, watch)
    report = {"data": log.about.name, **report}
    told = msgspec.json.format(msgspec.json.encode(report))  # what is no number is null
    (folder / "report.json").write_bytes(told)
    made = write(
        folder / "bundle", config, source, files, weights,
        data=fingerprint(log.about.name, rows), metrics=report["metrics"],
    )  # fmt: skip
    return made, report


def fit(
    config: RankerTraining, parts: tuple[Rows, Rows, Rows], surfaces: int, folder: Path | None,
    watch: Watch,
) -> tuple[dict[str, Any], dict[str, Any]]:  # fmt: skip
    """The weights that serve, and the report: epochs, heads and metrics."""
    learned, validation = parts[:2]
    encoder = fit_encoder(learned, config.form, config.learning.seen)
    edges_s = watch_edges_s(learned, config.form.watch_bins)
    checkpoint = folder / "checkpoint.pt" if folder else None
    fitting = RankerFitting(config, encoder, edges_s, learned, validation, surfaces, checkpoint)
    model = fitting.run(watch)
    raw = uncalibrated(model, encoder, edges_s)
    bare = LearnedRanker(config.form, raw)
    weights = finished(raw, bare, learned, validation, config.fewest)
    heads = compared(config, bare, LearnedRanker(config.form, weights), model, parts)
    metrics = {f"{name}.auc": head["auc"]["ranker"][0] for name, head in heads.items()}
    metrics |= {
        f"{n}.calibration_error": h["calibration_error"]
        for n, h in heads.items()
        if "calibration_error" in h
    }
    known = {name: value for name, value in metrics.items() if np.isfinite(value)}
    report = {"rows": [len(part) for part in parts], "epochs": fitting.epochs, "heads": heads}
    return weights, report | {"metrics": known}


def read_towers(towers: str, beside: Path) -> tuple[Manifest | None, dict[str, bytes], Bundle]:
    """The bundle whose towers the ranker stands on; no manifest for the built-in one.

    Raises:
        BundleError: it cannot be read.
    """
    if towers == day0.ID:
        return None, {day0.WEIGHTS: msgspec.json.encode(day0.Day0())}, day0.Day0().bundle()
    path = (beside / towers).resolve()
    if not path.is_dir():
        raise BundleError(f"towers {towers!r}: {path} is no folder of a bundle")
    found, files = manifest.read(Store(path.parent), path.name, renamed=True)
    return found, files, bundles.build(found, files, ModelSettings())


def write(
    store: Path, config: RankerTraining, source: Manifest | None, files: Mapping[str, bytes],
    weights: Mapping[str, Any], **about: Any,
) -> Manifest:  # fmt: skip
    """The towers' files with the ranker's, as a new bundle of the towers' kind.

    Raises:
        BundleError: the id is taken, or no name.
    """
    ranker = LearnedRanker(config.form, weights)
    users = day0.Day0().bundle().users if source is None else source
    dim, hidden = users.dim, users.hidden
    kept = {name: content for name, content in files.items() if name not in ranker_files.NAMES}
    training: dict[str, Any] = {"ranker": msgspec.to_builtins(config)}
    if source is not None:
        training = {**source.training, **training}
        about["metrics"] = {**source.metrics, **about.get("metrics", {})}
    return manifest.write(
        store, config.name, source.kind if source else day0.KIND, dim=dim, hidden=hidden,
        features=ranker.features, files={**kept, **ranker_files.to_files(config.form, weights)},
        embedding_size=source.embedding_size if source else None, training=training, **about,
    )  # fmt: skip


def run_folder(path: Path, config: RankerTraining) -> Path:
    """The run's folder.

    Raises:
        ConfigError: it holds a run of another configuration.
    """
    path.mkdir(parents=True, exist_ok=True)
    told, mine = path / "config.json", msgspec.json.format(msgspec.json.encode(config), indent=2)
    if not told.exists():
        told.write_bytes(mine)
    elif told.read_bytes() != mine:
        raise ConfigError(
            f"{path} holds a run of another configuration: give this one another name, or remove the "
            "folder"
        )
    return path


def fingerprint(name: str, rows: Rows) -> dict[str, Any]:
    """What was trained on: how much, and a hash of columns and outcomes."""
    digest = hashlib.sha256()
    for column in (
        *rows.columns.values(),
        rows.targets.labels,
        rows.targets.watched_s,
        rows.person,
    ):
        digest.update(np.ascontiguousarray(column).tobytes())
    return {"name": name, "shown": len(rows), "sha256": digest.hexdigest()}
