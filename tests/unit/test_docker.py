"""The container files name commands, settings and metrics that exist. No Docker engine is needed."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from contracts import metrics
from headrace.cli import app
from headrace.commands.stream import Flow
from headrace.environment import fields
from headrace.flows import FLOWS

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
COMPOSE: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text())
OURS = {
    name: service
    for name, service in COMPOSE["services"].items()
    if "HEADRACE_IMAGE" in service["image"]
}


def environment_of(service: dict[str, Any]) -> dict[str, str]:
    return service.get("environment") or {}


@pytest.mark.parametrize("name", sorted(OURS))
def test_every_service_runs_a_command_of_the_command_line(name: str) -> None:
    command: Any = typer.main.get_command(app)
    words = list(OURS[name]["command"])
    while hasattr(command, "commands") and words:
        command = command.commands[words.pop(0)]
    assert not hasattr(command, "commands")
    assert len(words) == len([p for p in command.params if p.param_type_name == "argument"])


def test_every_flow_is_a_service_and_a_choice_of_the_command_line() -> None:
    run = {words[1] for s in OURS.values() if (words := s["command"])[0] == "stream"}
    assert run == set(FLOWS) == {flow.value for flow in Flow}


@pytest.mark.parametrize("name", sorted(OURS))
def test_every_setting_of_a_service_exists(name: str) -> None:
    assert set(environment_of(OURS[name])) <= set(fields())


def test_settings_of_the_image_exist() -> None:
    text = (DOCKER / "Dockerfile").read_text()
    assert set(re.findall(r"HEADRACE_\w+__\w+", text)) <= set(fields())


def test_no_secret_is_in_the_files_and_each_one_is_asked_for() -> None:
    text = (DOCKER / "compose.yaml").read_text()
    for name in ("REDIS_PASSWORD", "TOKEN_SECRET"):
        assert re.search(rf"\$\{{{name}:\?", text), f"{name} is not required"
        assert re.search(rf"^{name}=$", (DOCKER / "example.env").read_text(), re.M)


@pytest.mark.parametrize("name", sorted(OURS))
def test_services_wait_for_what_they_need_and_say_whether_they_are_well(name: str) -> None:
    service = OURS[name]
    assert set(service["depends_on"]) <= set(COMPOSE["services"])
    assert service["read_only"]
    assert name in ("topics", "api") or "healthcheck" in service  # the API's is the image's own


@pytest.mark.parametrize("name", sorted(set(OURS) - {"topics"}))
def test_compiled_kernels_are_kept_from_one_start_to_the_next(name: str) -> None:
    folder = re.search(r"NUMBA_CACHE_DIR=(\S+)", (DOCKER / "Dockerfile").read_text())
    assert folder is not None
    mounts = dict(reversed(volume.split(":")[:2]) for volume in OURS[name]["volumes"])
    assert mounts[folder[1]] in COMPOSE["volumes"]


def test_the_image_has_every_package_of_the_project() -> None:
    text = (DOCKER / "Dockerfile").read_text()
    ignored = (DOCKER / "Dockerfile.dockerignore").read_text()
    packages = [p.parent.name for p in ROOT.glob("*/py.typed")]
    assert len(packages) == 7
    for package in packages:
        assert f"COPY {package} {package}\n" in text
        assert f"!{package}\n" in ignored


def test_prometheus_scrapes_every_process() -> None:
    config = yaml.safe_load((DOCKER / "prometheus.yml").read_text())
    scraped = {
        target.partition(":")[0]
        for job in config["scrape_configs"]
        for group in job["static_configs"]
        for target in group["targets"]
    }
    assert scraped == set(OURS) - {"topics"}


def test_alerts_read_metrics_that_exist() -> None:
    known = {name for name in _sample_names()}
    text = (DOCKER / "rules.yml").read_text()
    used = set(re.findall(r"\bheadrace_[a-z_]+(?=[\[{)\s])", "".join(_expressions(text))))
    assert used
    assert used <= known


def _expressions(text: str) -> list[str]:
    groups = yaml.safe_load(text)["groups"]
    return [rule["expr"] + " " for group in groups for rule in group["rules"]]


def _sample_names() -> list[str]:
    out = []
    for metric in vars(metrics).values():
        if isinstance(metric, type) or not hasattr(metric, "describe"):
            continue
        for family in metric.describe():
            suffixes = {
                "histogram": ["_bucket", "_count", "_sum"],
                "counter": ["_total"],
                "gauge": [""],
            }[family.type]
            out += [family.name + suffix for suffix in suffixes]
    return out


@pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool on the PATH")
def test_rules_parse_and_fire_when_a_promise_is_broken() -> None:
    for words in (
        ["check", "rules", "docker/rules.yml"],
        ["test", "rules", "tests/docker/rules_test.yml"],
    ):
        done = subprocess.run(
            ["promtool", *words], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
