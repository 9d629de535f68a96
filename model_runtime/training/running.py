"""One run from a configuration's file to a bundle: towers, the ranker that stands on them, their appeal."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from contracts.errors import BundleError
from contracts.settings import ModelSettings, Settings
from model_runtime import bundles, learned, manifest, ranker_files
from model_runtime.evaluation.appeal_running import learn_appeal, with_appeal
from model_runtime.forms import ItemForm, UserForm
from model_runtime.learned import Towers
from model_runtime.manifest import Manifest
from model_runtime.store import Store
from model_runtime.training.config import Training
from model_runtime.training.fitting import Fitting
from model_runtime.training.item_tower import weights_of
from model_runtime.training.log import Log, read_log
from model_runtime.training.measuring import quality
from model_runtime.training.model import TwoTower
from model_runtime.training.ranker_running import check, ranked, read_towers
from model_runtime.training.run_folder import RunFolder
from model_runtime.training.sequences import Sequences, sequences
from model_runtime.training.split import split
from model_runtime.training.watching import Watch

Drafted = tuple[Manifest, Mapping[str, bytes]]


@dataclass(frozen=True, slots=True)
class Trained:
    """What a run made.

    Attributes:
        bundle: its manifest.
        folder: of the run.
        heads: what the ranker reaches on the test (see `ranker_comparing.compared`); None without one.
    """

    bundle: Manifest
    folder: Path
    heads: dict[str, Any] | None = None


def train(
    config: Training,
    beside: Path,
    watch: Watch,
    further: bool = True,
    settings: Settings | None = None,
) -> Trained:
    """Train (or go on), measure the test, write the bundle.

    Args:
        beside: what relative folders of the configuration are relative to.
        further: else the best epoch of the towers so far becomes a bundle, whose id says which it was.
        settings: of the folds that appeal is learned on; those of the engine's defaults unless given.

    Raises:
        DatasetError: the log lacks something, or holds nothing to learn from.
        ConfigError: the run's folder holds another run, or one on another log, or the loss is no number.
        BundleError: the run has another bundle already, or the ranker's towers cannot be read.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    watch.stage("reading the log")
    rank, heads = config.ranker, None
    given = read_towers(rank.towers, config.name, beside) if rank and rank.towers else None
    source = beside / config.data.folder
    log = read_log(source)
    if rank:
        check(config, rank, log, source)
    folder = RunFolder(beside / config.runs / config.name, config)
    if further:
        _unless_there(folder, config)
    (made, files), validated = (
        (given, given) if given else _towers(config, log, folder, watch, further)
    )
    if rank:
        made, files, heads = ranked(config, rank, (made, files), log, source, folder.path, watch)
    if config.appeal:
        watch.stage("appeal")
        judged = _with_ranker_of((made, files), validated)
        bundle = bundles.build(*judged, ModelSettings())
        learned_appeal = learn_appeal(
            source, log, config.data.positives, config.data.kept / 2, bundle, settings or Settings()
        )
        made, files = with_appeal(made, files, learned_appeal)
    return Trained(manifest.put(folder.bundles, made, files), folder.path, heads)


def _towers(
    config: Training, log: Log, folder: RunFolder, watch: Watch, further: bool
) -> tuple[Drafted, Drafted]:
    """The towers that serve, and those that saw nothing of the validation: the same without `refit`."""
    people = sequences(log)
    of = config.data
    parts = split(log, people, of.split, of.kept, of.positives, config.left_to_ranker)
    data = fingerprint(log, people)
    folder.learns_from(data)
    fitting = Fitting(config, parts, log.videos, folder)
    watch.stage("towers", config.optimiser.epochs)
    progress = fitting.run(watch) if further else fitting.best()
    model = fitting.average
    bundle = config.name if further else f"{config.name}-{progress.best[1]}"
    again = of.refit and further
    before = f"{config.name}-validated" if again else bundle
    validated = drafted(model, before, config, data, {"validation_ndcg": progress.best[0]})
    if again:
        there = (folder.bundles / before / manifest.MANIFEST).exists()
        if not there:  # else it may name another [rank] or appeal, and has the same towers
            manifest.put(folder.bundles, *validated)
        watch.stage("towers, on everything before the test", progress.best[1])
        later = Fitting(config, parts.before_test, log.videos, folder.again)
        later.run_blind(watch, progress.best[1])
        model = later.average
    test = quality(model, people, parts.test)
    metrics = {
        "validation_ndcg": progress.best[0], "test_hr": test.hr, "test_ndcg": test.ndcg,
        "test_people": float(test.people),
    }  # fmt: skip
    if further:
        folder.tell({"epochs": progress.epochs, "best": progress.best, **metrics})
    serving = drafted(model, bundle, config, data, metrics)
    return serving, validated if again else serving


def _unless_there(folder: RunFolder, config: Training) -> None:
    """A bundle never changes: say now what would be said when all is trained.

    Raises:
        BundleError: the run has made its bundle, and was told something else of ranker or appeal.
    """
    path = folder.bundles / config.name
    if (path / manifest.MANIFEST).exists():
        made = manifest.read_manifest(Store(folder.bundles), config.name).training
        told = _plain(config)
        if not all(_holds(made[part], told[part]) for part in ("rank", "appeal") if part in made):
            raise BundleError(
                f"{path} was made with another [rank] or appeal: move it away, or name this run otherwise"
            )


def _holds(made: Any, told: Any) -> bool:
    """Whether a manifest says what was told; of a ranker on other towers it says more."""
    if isinstance(made, dict) and isinstance(told, dict):
        return all(made.get(name) == value for name, value in told.items())
    return bool(made == told)


def _with_ranker_of(whole: Drafted, towers: Drafted) -> Drafted:
    """The towers of one with the ranker of the other."""
    (made, files), (other, own) = whole, towers
    ranker = {name: content for name, content in files.items() if name in ranker_files.NAMES}
    return msgspec.structs.replace(other, features=made.features), {**own, **ranker}


def drafted(
    model: TwoTower, bundle: str, config: Training, data: dict[str, Any], metrics: dict[str, float]
) -> Drafted:
    """The model as a bundle that serves without torch, not written yet."""
    towers = Towers(_form(config.users, UserForm), _form(config.items, ItemForm))
    users = {name: p.detach().cpu().numpy() for name, p in model.users.named_parameters()}
    return learned.drafted(
        bundle, towers, users, weights_of(model.items),
        training=_plain(config), data=data, metrics=metrics,
    )  # fmt: skip


def _plain(config: Training) -> dict[str, Any]:
    """The configuration as a manifest tells it."""
    told: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(config))
    return told


def fingerprint(log: Log, people: Sequences) -> dict[str, Any]:
    """What was trained on: how much of what, and a hash of the events."""
    digest = hashlib.sha256()
    for column in (people.offsets, people.item, people.action, people.timestamp_ms):
        digest.update(np.ascontiguousarray(column).tobytes())
    return {
        "name": log.about.name, "events": len(log), "people": len(people),
        "videos": len(log.videos), "sha256": digest.hexdigest(),
    }  # fmt: skip


def _form(config: Any, form: Any) -> Any:
    """The part of a tower's configuration that its weights depend on."""
    return form(**{name: getattr(config, name) for name in form.__struct_fields__})
