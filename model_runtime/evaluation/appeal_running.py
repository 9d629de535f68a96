"""From a log and the models of a bundle to the same bundle that has learned its appeal."""

from collections.abc import Mapping
from pathlib import Path

from contracts.models import Bundle
from contracts.settings import Settings
from model_runtime import appeal, manifest
from model_runtime.appeal import Appeal
from model_runtime.evaluation.appeal_fitting import fit_appeal
from model_runtime.evaluation.folded import shown_in
from model_runtime.evaluation.protocols import task_of
from model_runtime.evaluation.world import Positives
from model_runtime.manifest import Manifest
from model_runtime.training.log import Log


def learn_appeal(
    folder: Path, log: Log, positives: Positives, share: float, bundle: Bundle, settings: Settings
) -> Appeal:
    """Learn from the queries of the validation's time: the `share` of the log before the last `share`.

    Args:
        bundle: whose columns are learned on; it must have learned from nothing after 1 - 2 x `share`.

    Raises:
        DatasetError: the log cannot be asked by time, or has too few queries.
    """
    task = task_of(log, "time", positives, share)
    return fit_appeal(task.world, task.validation[0], bundle, settings, shown_in(folder, log))


def with_appeal(
    made: Manifest, files: Mapping[str, bytes], learned: Appeal
) -> tuple[Manifest, Mapping[str, bytes]]:
    """The files of a bundle with its appeal, not written yet."""
    whole = {**files, **appeal.to_file(learned)}
    drafted = manifest.draft(
        made.id, made.kind, dim=made.dim, hidden=made.hidden, features=made.features, files=whole,
        embedding_size=made.embedding_size, training=made.training, data=made.data,
        metrics=made.metrics,
    )  # fmt: skip
    return drafted, whole
