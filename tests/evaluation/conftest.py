"""One small generated log for the tests of evaluation."""

import pytest

from model_runtime.evaluation.protocols import Task, task_of
from model_runtime.evaluation.world import World
from model_runtime.training.log import Log, read_log
from tests.training.logs import a_log


@pytest.fixture(scope="session")
def log(tmp_path_factory: pytest.TempPathFactory) -> Log:
    """30 people, 60 clips, 1500 events in a day."""
    return read_log(a_log(tmp_path_factory.mktemp("evaluation") / "log", 1500, 30, 60))


@pytest.fixture(scope="session")
def task(log: Log) -> Task:
    return task_of(log, "time", "liked", 0.4)


@pytest.fixture(scope="session")
def world(task: Task) -> World:
    return task.world
