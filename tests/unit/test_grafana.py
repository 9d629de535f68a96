"""The dashboard shows every promise and every alert, of metrics that are exported. No Grafana needed."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY

from contracts import metrics

ROOT = Path(__file__).parents[2]
GRAFANA = ROOT / "docker" / "grafana"
DASHBOARD: dict[str, Any] = json.loads((GRAFANA / "headrace.json").read_text())
PANELS: list[dict[str, Any]] = [p for p in DASHBOARD["panels"] if p["type"] != "row"]
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((ROOT / "docker" / "rules.yml").read_text())["groups"]
    for rule in group["rules"]
]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())
# What Prometheus itself adds.
_PROMETHEUS = {"up", "ALERTS"}


def expressions() -> list[str]:
    found = [target["expr"] for panel in PANELS for target in panel["targets"]]
    return found + [a["expr"] for a in DASHBOARD["annotations"]["list"]]


def named(expression: str) -> set[str]:
    """Names of series in an expression: words that are no function, no keyword and no label."""
    text = re.sub(r'"[^"]*"|\[[^\]]*\]', "", expression)  # values of labels, and ranges
    text = re.sub(r"\{[^}]*\}", "{}", text)  # matchers
    text = re.sub(r"\b(?:by|without|on|ignoring)\s*\([^)]*\)", "", text)
    words = set(re.findall(r"[a-zA-Z_:][\w:]*(?!\w*\s*\()", text))
    functions = set(re.findall(r"([a-zA-Z_]\w*)\s*\(", text))
    return words - functions - {"and", "or", "unless", "bool", "by"}


def exported() -> set[str]:
    """Names of samples: ours, those that the Python client adds, and what the rules record."""
    suffixes = {"histogram": ["_bucket", "_count", "_sum"], "counter": ["_total"]}
    samples = {f.name + s for f in REGISTRY.collect() for s in suffixes.get(f.type, [""])}
    return samples | {rule["record"] for rule in RULES if "record" in rule} | _PROMETHEUS


def test_names_of_series_are_found_in_an_expression() -> None:
    text = 'topk(8, histogram_quantile(0.99, sum by (le, step) (rate(a_bucket{x="b"}[5m])))) and c:d > 0'
    assert named(text) == {"a_bucket", "c:d"}
    assert named('count(up{job=~"x.*"} == 0) or vector(0)') == {"up"}


@pytest.mark.parametrize("expression", expressions())
def test_every_series_of_the_dashboard_is_exported(expression: str) -> None:
    assert named(expression)
    assert named(expression) <= exported()


def test_a_series_that_nobody_exports_would_be_found() -> None:
    assert not named("rate(headrace_event_total[5m])") <= exported()


def test_every_metric_of_the_engine_is_on_the_dashboard() -> None:
    used = {name for expression in expressions() for name in named(expression)}
    used |= {n for rule in RULES for n in named(rule["expr"]) if rule.get("record") in used}
    for metric in vars(metrics).values():
        if not isinstance(metric, type) and hasattr(metric, "describe"):
            family = metric.describe()[0].name
            assert any(name.startswith(family) for name in used), f"{family} is on no panel"


def test_every_alert_has_a_panel_that_names_it_and_no_other_is_named() -> None:
    told = set(re.findall(r"\bHeadrace[A-Z]\w+", " ".join(p["description"] for p in PANELS)))
    assert told == {rule["alert"] for rule in RULES if "alert" in rule}


def test_every_threshold_of_an_alert_can_be_seen_on_one_of_its_panels() -> None:
    for rule in RULES:
        if "alert" not in rule or not (
            found := re.findall(r"[><]=? ([\d.]+)(?= |$)", rule["expr"])
        ):
            continue
        shown = {
            step["value"]
            for panel in PANELS
            if rule["alert"] in panel["description"]
            for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
        }
        bounds = {float(number) for number in found} - {0.0}
        assert bounds <= shown, f"{rule['alert']}: {bounds} is not among {shown}"


def test_a_feed_is_slow_when_it_is_slower_than_readme_promises() -> None:
    promised = re.search(
        r"^\| feed of 20 .*\| p99 (\d+), hoped", (ROOT / "README.md").read_text(), re.M
    )
    assert promised
    (rule,) = [rule for rule in RULES if rule.get("alert") == "HeadraceFeedSlow"]
    assert rule["expr"].endswith(f" > {int(promised[1]) / 1000}")
    said = [
        rule["annotations"]["description"],
        *(p["description"] for p in PANELS if p["title"] == "feed, p99"),
    ]
    assert all(f"{promised[1]} ms" in text for text in said)


def test_panels_do_not_overlap_and_have_numbers_of_their_own() -> None:
    cells = [
        (x, y)
        for p in DASHBOARD["panels"]
        for x in range(p["gridPos"]["x"], p["gridPos"]["x"] + p["gridPos"]["w"])
        for y in range(p["gridPos"]["y"], p["gridPos"]["y"] + p["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    assert len({p["id"] for p in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_everything_is_asked_of_the_data_source_that_is_provisioned() -> None:
    provisioned = yaml.safe_load((GRAFANA / "datasources.yaml").read_text())["datasources"]
    asked = {t["datasource"]["uid"] for panel in PANELS for t in panel["targets"]}
    assert asked == {source["uid"] for source in provisioned} == {"prometheus"}
    host, port = provisioned[0]["url"].removeprefix("http://").split(":")
    assert host in COMPOSE["services"]
    assert COMPOSE["services"][host]["ports"] == [f"127.0.0.1:{port}:{port}"]


def test_every_file_that_grafana_reads_is_mounted_where_it_looks() -> None:
    service = COMPOSE["services"]["grafana"]
    mounted = dict(volume.split(":")[:2] for volume in service["volumes"])
    assert {Path(source).name for source in mounted} == {f.name for f in GRAFANA.iterdir()}
    provider = yaml.safe_load((GRAFANA / "dashboards.yaml").read_text())["providers"][0]
    home = service["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert mounted["./grafana/headrace.json"] == home
    assert str(Path(home).parent) == provider["options"]["path"]


def test_nobody_can_change_anything_in_grafana() -> None:
    environment = COMPOSE["services"]["grafana"]["environment"]
    assert environment["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    assert environment["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "true"
    assert COMPOSE["services"]["grafana"]["ports"] == ["127.0.0.1:3000:3000"]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool on the PATH")
def test_prometheus_parses_every_expression(tmp_path: Path) -> None:
    asked = [e.replace("$__rate_interval", "1m") for e in expressions()]
    rules = [{"record": f"panel:{i}", "expr": expression} for i, expression in enumerate(asked)]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    done = subprocess.run(
        ["promtool", "check", "rules", str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
