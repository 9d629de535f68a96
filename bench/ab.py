"""Two bundles on the same simulated people: how long each is watched. It says nothing of real people.

Each turn runs a whole sandbox twice, once with each bundle, on an empty log: the same clips, and viewers
with the same hidden tastes and the same chance, who react to what they are served (a reaction depends on
which clip it is, so from the first different page on the two lives differ). The next turn has other viewers
of the same world, and the bundles in the other order. Judged by seconds watched a clip that was served; the
interval draws viewers anew, each with both lives. A bundle that learned from these clips has to have
learned from other viewers: `headrace data simulate --first 100000`.
"""

import argparse
import os
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bench._engine import until
from bench._report import Figure, progress, report
from contracts.errors import HeadraceError
from headrace import addresses
from headrace.sandbox import Options, Sandbox
from headrace.simulator import Plan, run

F64 = NDArray[np.float64]
_DRAWS: Final = 2000
_CLIPS, _SECONDS, _COMPLETE = 0, 1, 3  # columns of `headrace.simulator.quality.Slate.sums`


@contextmanager
def sandbox(bundle: str, registry: str | None) -> Iterator[str]:
    """The URL of an engine that serves the bundle and knows nobody yet."""
    environ = os.environ | {"HEADRACE_MODEL__BUNDLE": bundle}
    if registry is not None:
        environ["HEADRACE_MODEL__REGISTRY"] = registry
    failed = list[BaseException]()
    stop = threading.Event()
    with tempfile.TemporaryDirectory(prefix="headrace-ab-") as folder:
        box = Sandbox(Options(Path(folder), simulator=False), environ, lambda part, what: None)

        def live() -> None:
            try:
                box.run(stop)
            except BaseException as e:
                failed.append(e)

        thread = threading.Thread(target=live)
        thread.start()
        try:
            until(
                lambda: bool(failed) or (Path(folder) / addresses.FILE).exists(), 240, "the sandbox"
            )
            if failed:
                raise HeadraceError(f"the sandbox did not start: {failed[0]}")
            yield addresses.read(Path(folder)).api
        finally:
            stop.set()
            thread.join()


def lived(bundle: str, said: argparse.Namespace, plan: Plan) -> dict[str, Any]:
    """The figures of one life with one bundle."""
    progress(f"viewers from {plan.first} with {bundle}")
    with sandbox(bundle, said.registry) as url:
        return run(url, plan)


def ratio(one: F64, other: F64, column: int) -> tuple[float, float, float]:
    """Of the means a clip, with the central 95 % over viewers: rows (n, 5) of the same people."""
    rng = np.random.default_rng(0)
    n = len(one)
    drawn = np.concatenate([np.ones((1, n)), rng.multinomial(n, np.full(n, 1 / n), size=_DRAWS)])
    mean = [(drawn @ rows[:, column]) / (drawn @ rows[:, _CLIPS]) for rows in (one, other)]
    ratios = mean[0] / mean[1]
    low, high = np.quantile(ratios[1:], (0.025, 0.975))
    return float(ratios[0]), float(low), float(high)


def figures_of(bundles: Sequence[str], lives: dict[str, list[dict[str, Any]]]) -> list[Figure]:
    """The table; the last bundle is held against the first."""
    was, now = (np.concatenate([np.array(f["by_viewer"]) for f in lives[b]]) for b in bundles)
    there = (was[:, _CLIPS] > 0) & (now[:, _CLIPS] > 0)
    out = []
    for what, column in (("watched a clip", _SECONDS), ("completed", _COMPLETE)):
        value, low, high = ratio(now[there], was[there], column)
        means = [rows[there, column].sum() / rows[there, _CLIPS].sum() for rows in (was, now)]
        unit = "s" if column == _SECONDS else "share"
        name = f"{what}: {bundles[1]} ({value:.3f}x, {low:.3f} to {high:.3f})"
        out.append(Figure(name, means[1], unit, means[0], bundles[0], more=True))
    for bundle in bundles:
        rungs = sum((np.array([f["rungs"].get("full", 0), sum(f["rungs"].values())])
                     for f in lives[bundle]), np.zeros(2))  # fmt: skip
        errors = sum(sum(f["errors"].values()) for f in lives[bundle])
        out += [
            Figure(f"{bundle}: pages from the full rung", rungs[0] / rungs[1], "share", more=True),
            Figure(f"{bundle}: pages", float(rungs[1]), ""),
            Figure(f"{bundle}: errors", errors, "", must=0),
        ]
    return out


def main(arguments: Sequence[str] = ()) -> None:
    """Live, compare, print the table, write bench/out/ab.json."""
    parser = argparse.ArgumentParser(prog="bench.ab", description=__doc__)
    parser.add_argument("bundle", help="of the registry")
    parser.add_argument("--against", default="day0")
    parser.add_argument("--registry", default=os.environ.get("HEADRACE_MODEL__REGISTRY"))
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=60, help="of each life")
    parser.add_argument("--viewers", type=int, default=100)
    parser.add_argument("--videos", type=int, default=2000)
    parser.add_argument("--rate", type=float, default=10, help="feeds a second")
    parser.add_argument("--seed", type=int, default=7, help="of the world")
    said = parser.parse_args(arguments)
    bundles = (said.against, said.bundle)
    lives: dict[str, list[dict[str, Any]]] = {name: [] for name in bundles}
    for turn in range(said.turns):
        plan = Plan(
            said.viewers, said.videos, said.rate, publish_rate=0.5, seconds=said.seconds,
            seed=said.seed, first=turn * said.viewers,
        )  # fmt: skip
        for name in bundles[:: 1 if turn % 2 == 0 else -1]:
            lives[name].append(lived(name, said, plan))
    figures = figures_of(bundles, lives)
    title = f"{said.turns * said.viewers} simulated viewers, {said.seconds:g} s with each bundle"
    report("ab", title, figures, figures[0].what)


if __name__ == "__main__":
    main(sys.argv[1:])
