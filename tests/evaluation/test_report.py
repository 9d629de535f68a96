"""An evaluation from the command line to a page that stands alone."""

import re
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from bench.staleness import kept, picture
from contracts.engine_records import Impression
from contracts.errors import BundleError, ConfigError, DatasetError
from headrace.cli import app
from headrace.commands.shared import TRAINING, require
from model_runtime import bundles
from model_runtime.day0 import Day0
from model_runtime.evaluation.bootstrap import Estimate
from model_runtime.evaluation.protocols import task_of
from model_runtime.evaluation.report.svg import Mark, bars, lines, nice_ticks
from model_runtime.evaluation.results import Point, Results, Staleness
from model_runtime.training.layout import About
from model_runtime.training.log import read_log
from tests.training.logs import START_MS, events, videos, written


def a_log(folder: Path) -> Path:
    rng = np.random.default_rng(1)
    shown = [
        Impression(f"r{i}", f"u{rng.integers(20)}", START_MS + i * 60_000, "home", "", "", "full",
                   None, (f"v{rng.integers(30)}",), (0,), (1.0,))
        for i in range(700)
    ]  # fmt: skip
    return written(folder, videos(30), events(700, 20, 30), shown)


def evaluated(log: Path, out: Path, *more: str) -> Results:
    done = CliRunner().invoke(app, ["evaluate", str(log), "--out", str(out), *more])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return msgspec.json.decode((out / "results.json").read_bytes(), type=Results)


def test_a_log_becomes_a_report_with_every_part(tmp_path: Path) -> None:
    found = evaluated(a_log(tmp_path / "log"), tmp_path / "out", "--share", "0.3", "--no-choose")
    names = [line.name for line in found.lines]
    assert names[-2:] == ["bundle day0", "funnel day0"]
    assert len(names) == 11
    for line in found.lines:
        assert line.metrics["hr@20"].mean >= line.metrics["hr@10"].mean
        assert line.metrics["recall@500"].mean == 1  # there are 30 videos
        assert 0 < line.coverage <= 1
    assert sum(line.behind is None for line in found.lines) == 1
    *others, towers, funnel = found.lines
    assert not any(line.over_towers for line in [*others, towers])
    assert funnel.over_towers is not None
    gained = funnel.metrics["ndcg@10"].mean - towers.metrics["ndcg@10"].mean
    assert funnel.over_towers.mean == pytest.approx(gained)
    assert [head.name for head in found.heads["day0"]][:2] == ["p_click", "p_complete"]
    assert [len(curve.points) for curve in found.staleness] == [7, 7]
    assert found.staleness[0].name == "bundle day0"
    page = (tmp_path / "out" / "report.html").read_text()
    for name in names:
        assert name in page
    for outside in ("http://", "https://", "<script", "<link", "src="):
        assert outside not in page
    charts = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(charts) >= 2
    for chart in charts:
        ElementTree.fromstring(chart)


def test_a_bundle_is_asked_for_what_its_training_kept_for_the_test(tmp_path: Path) -> None:
    log = a_log(tmp_path / "log")
    made = bundles.publish_day0(tmp_path, "own", Day0(), training={"data": {"kept": 0.1}})
    found = evaluated(log, tmp_path / "out", "--no-choose", "--bundle", str(tmp_path / made.id))
    task = task_of(read_log(log), "time", "liked", 0.05)
    assert found.about["asked"].startswith(f"{len(task.queries)} queries")
    with pytest.raises(BundleError, match="no folder of a bundle"):
        evaluated(log, tmp_path / "other", "--bundle", str(tmp_path / "elsewhere"))
    with pytest.raises(BundleError, match="what the bundle has learned"):
        evaluated(
            log, tmp_path / "other", "--bundle", str(tmp_path / made.id), "--protocol", "last"
        )
    with pytest.raises(BundleError, match="the same id"):
        evaluated(log, tmp_path / "other", *2 * ("--bundle", str(tmp_path / made.id)))


def test_a_log_without_times_is_asked_for_the_last_of_each(tmp_path: Path) -> None:
    log = written(tmp_path / "log", videos(30), events(500, 20, 30), about=About(clock="order"))
    found = evaluated(log, tmp_path / "out", "--no-choose")
    assert found.staleness == []
    assert found.heads == {}
    assert "leave-one-out" in found.about["protocol"]
    assert not any("trending" in line.name for line in found.lines)
    with pytest.raises(DatasetError, match="has no times"):
        evaluated(log, tmp_path / "other", "--protocol", "time")


def test_what_is_not_installed_is_named_with_the_extra_that_brings_it() -> None:
    require(TRAINING, "train")
    with pytest.raises(ConfigError, match=r"no_such_thing.*the extra 'train'"):
        require(("pyarrow", "no_such_thing"), "train")


@given(st.floats(1e-6, 1e6))
def test_ticks_are_round_few_and_reach_over_everything(highest: float) -> None:
    ticks = nice_ticks(highest)
    assert ticks[0] == 0
    assert ticks[-1] >= highest * 0.999
    assert ticks[-2] < highest
    assert 3 <= len(ticks) <= 12


@given(st.lists(st.tuples(st.text(max_size=8), st.floats(0, 1)), min_size=1, max_size=6))
def test_a_chart_of_anything_is_well_formed(values: list[tuple[str, float]]) -> None:
    marks = [Mark(label, v, v * 0.9, v * 1.1, strong=v > 0.5, faint=v < 0.1) for label, v in values]
    ElementTree.fromstring(bars(marks))
    ElementTree.fromstring(lines({"a & b": marks, "c": marks[:1]}, "<x>"))


def test_what_a_late_state_keeps_is_told_as_a_share_of_the_whole() -> None:
    whole, late = Estimate(0.2, 0.1, 0.3), Estimate(0.15, 0.1, 0.2)
    met = [
        Point("0 s", 50, whole, whole, whole),
        Point("1 day", 50, late, late, late, "changes 0.1% of the states: this log cannot show it"),
    ]
    lost = [Estimate(0, 0, 0), Estimate(-0.05, -0.08, 0.02)]
    marks = kept(Staleness("bundle b", {}, 0.0, met, met, [0.0, 0.001], lost))
    assert [m.mean for m in marks] == pytest.approx([1, 0.75])
    assert (marks[1].low, marks[1].high) == pytest.approx((0.6, 1.1))
    assert [m.faint for m in marks] == [False, True]
    ElementTree.fromstring(picture({"a <log>": marks}))
