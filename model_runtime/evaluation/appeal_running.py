"""From a bundle and a log to the same bundle that has learned its appeal."""

from pathlib import Path

import msgspec

from contracts.settings import Settings
from model_runtime import appeal, bundles, day0, manifest
from model_runtime.evaluation.appeal_fitting import fit_appeal
from model_runtime.evaluation.evaluating import SHARE
from model_runtime.evaluation.folded import shown_in
from model_runtime.evaluation.protocols import task_of
from model_runtime.manifest import Manifest
from model_runtime.store import Store
from model_runtime.training.log import read_log


def train_appeal(
    folder: Path, settings: Settings, bundle_id: str, name: str, into: str | None = None,
    share: float = SHARE,
) -> tuple[Manifest, appeal.Appeal]:  # fmt: skip
    """Learn from the queries before the last `share` of the log, and write a bundle with it.

    Args:
        bundle_id: whose columns are learned on; it must have learned from nothing after 1 - 2 x `share`.
        name: of the new bundle, in the same registry.
        into: which bundle gets the weights: the same towers trained on until 1 - `share`, say.

    Raises:
        DatasetError: the log cannot be asked by time, or has too few queries.
        BundleError: a bundle cannot be read, or the name is taken.
    """
    log = read_log(folder)
    task = task_of(log, "time", "liked", share)
    bundle = bundles.load(settings.model, bundle_id)
    learned = fit_appeal(task.world, task.validation[0], bundle, settings, shown_in(folder, log))
    return _written(bundles.registry(settings.model), into or bundle_id, name, learned), learned


def _written(store: Store, source: str, name: str, learned: appeal.Appeal) -> Manifest:
    """The files of the source with the appeal's."""
    if source == day0.ID:
        files = {day0.WEIGHTS: msgspec.json.encode(day0.Day0()), **appeal.to_file(learned)}
        built = day0.Day0().bundle(name)
        return manifest.write(
            store, name, day0.KIND, dim=built.users.dim, hidden=built.users.hidden,
            features=built.ranker.features, files=files,
        )  # fmt: skip
    found, files = manifest.read(store, source)
    return manifest.write(
        store, name, found.kind, dim=found.dim, hidden=found.hidden, features=found.features,
        files={**files, **appeal.to_file(learned)}, embedding_size=found.embedding_size,
        training={**found.training, "appeal": learned.weights}, data=found.data,
        metrics=found.metrics,
    )  # fmt: skip
