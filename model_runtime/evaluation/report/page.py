"""The page: what was asked, who answered best, how fast a late state costs, and how the cold fare."""

from collections.abc import Sequence
from html import escape
from typing import Final

import numpy as np

from model_runtime.evaluation.bootstrap import Estimate
from model_runtime.evaluation.report.svg import Mark, bars, lines
from model_runtime.evaluation.results import Line, Point, Results, Staleness

_STYLE: Final = """
:root { --paper: #fff; --ink: #1c1e21; --soft: #666; --line: #ddd; --tint: #f5f7fa; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #16181c; --ink: #e8e8e8; --soft: #9aa0a6; --line: #3a3d42; --tint: #1f2227; } }
body { background: var(--paper); color: var(--ink); margin: 2.5rem auto; max-width: 60rem;
  padding: 0 1.5rem; font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.7rem; margin: 0 0 .3rem } h2 { font-size: 1.2rem; margin: 2.6rem 0 .4rem }
p, dl { color: var(--soft); margin: .3rem 0 1rem; max-width: 48rem }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem }
dt { font-weight: 600 } dd { margin: 0 }
svg { width: 100%; height: auto; font: 12px system-ui, sans-serif; fill: var(--ink) }
svg .axis { fill: var(--soft) } svg .value { font-variant-numeric: tabular-nums }
svg .strong { font-weight: 700 } svg .grid { stroke: var(--line); stroke-width: 1 }
svg .whisker { stroke: var(--ink); stroke-width: 1.3; fill: none }
.wide { overflow-x: auto }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 13.5px }
th, td { padding: .28rem .7rem; text-align: right; border-bottom: 1px solid var(--line);
  white-space: nowrap }
th:first-child, td:first-child { text-align: left } th { color: var(--soft); font-weight: 600 }
tr.bundle { background: var(--tint); font-weight: 600 } td small { color: var(--soft) }
"""
_COLUMNS: Final = (
    "ndcg@10", "hr@10", "mrr@10", "precision@10", "ndcg@20", "recall@20", "recall@500",
)  # fmt: skip
_CURVES: Final = 5  # lines of a chart that an eye can follow


def page(results: Results) -> str:
    """The whole page as HTML."""
    about = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in results.about.items())
    parts = [
        f"<h1>{escape(results.about.get('log', 'Evaluation'))}</h1><dl>{about}</dl>",
        _ranking(results.lines),
        *[_staleness(curve) for curve in results.staleness],
        _cold_people(results),
        _cold_videos(results.cold_videos),
        _heads(results),
    ]
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(results.about.get('log', 'Evaluation'))}</title><style>{_STYLE}</style>"
        f"<body>{''.join(parts)}</body></html>"
    )


def _ranking(lines: Sequence[Line]) -> str:
    ordered = sorted(lines, key=lambda one: -one.metrics["ndcg@10"].mean)
    chart = bars([_mark(one.name, one.metrics["ndcg@10"], one.bundle) for one in ordered], 4)
    head = "".join(f"<th>{name}</th>" for name in _COLUMNS)
    rows = "".join(
        f'<tr class="{"bundle" if one.bundle else ""}"><td>{escape(one.name)}</td>'
        + "".join(f"<td>{_figure(one.metrics[name])}</td>" for name in _COLUMNS)
        + f"<td>{one.coverage:.1%}</td><td>{one.novelty:.2f}</td><td>{one.variety:.3f}</td>"
        + f"<td>{_less(one.behind)}</td><td>{_less(one.over_towers)}</td></tr>"
        for one in ordered
    )
    return (
        "<h2>Who finds what people take to</h2>"
        "<p>NDCG@10 with the central 95 % of it when people are drawn anew; in orange the "
        f"engine's own: a bundle's towers alone, and the whole funnel.</p>{chart}"
        f'<div class="wide"><table><tr><th></th>{head}<th>coverage</th><th>novelty, bits</th>'
        "<th>variety</th><th>ndcg@10 less the best baseline's</th>"
        f"<th>less the first bundle's towers'</th></tr>{rows}</table></div>"
    )


def _less(difference: Estimate | None) -> str:
    return "" if difference is None else _figure(difference, sign=True)


def _staleness(curve: Staleness) -> str:
    parts = {"everybody": curve.points, "known throughout": curve.met}
    chart = {
        name: [_mark(p.label, p.ndcg, faint=bool(p.note)) for p in points]
        for name, points in parts.items()
        if points
    }
    met = [_figure(p.ndcg) for p in curve.met] or [""] * len(curve.points)
    lost = [_figure(one, sign=True) for one in curve.lost] or [""] * len(curve.points)
    rows = "".join(
        f"<tr><td>{escape(p.label)}</td><td>{_figure(p.ndcg)}</td><td>{m}</td><td>{less}</td>"
        f"<td>{changed:.1%}</td><td>{escape(p.note)}</td></tr>"
        for p, m, less, changed in zip(curve.points, met, lost, curve.changed, strict=True)
    )
    gaps = ", ".join(f"{q} %: {_span(s)}" for q, s in curve.gaps_s.items())
    known = curve.met[0].queries if curve.met else 0
    return (
        f"<h2>What a late state costs: {escape(curve.name)}</h2>"
        "<p>NDCG@10. The same model and the same events; only the person's state is late. Between a "
        f"query and the person's event before it lie, at most, for {escape(gaps)} of the queries; "
        f"{curve.first:.1%} have none before. Where a late state is none, the charts answer: so the "
        f"second line is of the {known:,} queries of people known throughout: with a state at each. "
        "Hollow points: the log's clock cannot show them.</p>"
        f"{lines(chart, 'the state is late by')}"
        '<div class="wide"><table><tr><th>late by</th><th>everybody</th>'
        "<th>known throughout</th><th>less that without delay</th>"
        "<th>states changed</th><th></th></tr>"
        f"{rows}</table></div>"
    )


def _cold_people(results: Results) -> str:
    curves = {name: points for name, points in results.cold_people.items() if points}
    if not curves:
        return ""
    best = sorted(curves, key=lambda name: -np.mean([p.ndcg.mean for p in curves[name]]))
    bundles = [one.name for one in results.lines if one.bundle and one.name in curves]
    shown = [*bundles, *[name for name in best if name not in bundles]][:_CURVES]
    chart = lines(
        {name: [_mark(p.label, p.ndcg) for p in curves[name]] for name in shown},
        "events that the person had had",
    )
    numbers = ", ".join(f"{p.label}: {p.queries:,}" for p in curves[shown[0]])
    return (
        "<h2>People whom nobody has met</h2><p>NDCG@10 for people without an event that was learned "
        f"from, by what they had done until then. Queries: {escape(numbers)}.</p>{chart}"
    )


def _cold_videos(points: Sequence[Point]) -> str:
    if not points:
        return ""
    ordered = sorted(points, key=lambda p: -p.recall.mean)
    chart = bars(
        [_mark(p.label, p.recall, p.label.startswith(("bundle ", "funnel "))) for p in ordered]
    )
    return (
        "<h2>Videos that nobody has watched</h2><p>Recall@500 where what the person took to had no event "
        f"that was learned from: {points[0].queries:,} queries.</p>{chart}"
    )


def _heads(results: Results) -> str:
    if not results.heads:
        return ""
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{head.name}</td><td>{_auc(head.auc)}</td>"
        f"<td>{head.calibration:.4f}</td><td>{head.positives:,}</td><td>{head.rows:,}</td></tr>"
        for name, some in results.heads.items()
        for head in some
    )
    return (
        "<h2>The ranker's heads</h2><p>Against what came of each video that was shown in the time of "
        "the queries; columns as of the moment it was shown.</p><table><tr><th></th><th>head</th>"
        "<th>AUC</th><th>calibration error</th><th>positives</th><th>rows</th></tr>"
        f"{rows}</table>"
    )


def _auc(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _mark(label: str, value: Estimate, strong: bool = False, faint: bool = False) -> Mark:
    return Mark(label, value.mean, value.low, value.high, strong, faint)


def _figure(value: Estimate, sign: bool = False) -> str:
    form = "+.4f" if sign else ".4f"
    if not np.isfinite(value.mean):
        return ""
    return f"{value.mean:{form}} <small>{value.low:{form}} to {value.high:{form}}</small>"


def _span(seconds: float) -> str:
    for unit, name in ((86_400, "days"), (3600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{seconds / unit:.1f} {name}"
    return f"{seconds:.0f} s"
