"""The three models of a bundle in numpy (what serves), onnxruntime and torch: latency, memory, start-up.

The same weights (drawn; forms as shipped, an item tower of 100,000 videos), the same inputs, one thread
each; before anything is timed the three must say the same. Latency: batches of 1, 32 and 500 in one
process, in turns of blocks of calls, so that a busy machine is busy for all; medians over the blocks'
medians. The user step counts with its read-out, the item tower from hashed facts (hashing costs all of
them the same, and is told beside), the ranker from columns. Memory and start-up: a process each that
loads the bundle, or its graphs, and answers once; and what importing torch would add to a serving process.

    make bench NAME=runtimes
    python -m bench.runtimes --rounds 5        # short
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from bench import _ranker
from bench._report import Figure, progress, report
from bench._runtimes import EMBEDDING, Numpy, Onnx, Runtime, written
from contracts.batch import CandidateBatch
from contracts.models import StepInputs
from contracts.videos import Video
from model_runtime.forms import UserForm

SIZES: Final = (1, 32, 500)
RUNTIMES: Final = ("numpy", "onnxruntime", "torch")
PARTS: Final = ("user step", "item tower", "ranker")
HASHING: Final = "hashing of texts"
_BLOCK_S: Final = 0.02
_ONE_THREAD: Final = {
    name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
}
_SERVING: Final = "import headrace.serve, headrace.flows, headrace.server"
Call = Callable[[], Any]


def runtime(name: str, folder: Path) -> Runtime:
    """The bundle of a folder in one of them."""
    if name == "torch":
        from bench._torch_runtime import Torch

        return Torch(folder)
    return Numpy(folder) if name == "numpy" else Onnx(folder)


def events(n: int) -> StepInputs:
    """One event each of n people."""
    rng = np.random.default_rng(n)
    items = rng.standard_normal((n, 64)).astype(np.float32) / np.float32(8)
    return StepInputs(
        items, rng.integers(0, 15, n).astype(np.uint8), rng.random(n).astype(np.float32),
        rng.exponential(100, n).astype(np.float32),
    )  # fmt: skip


def videos(n: int) -> list[Video]:
    """N videos with titles, tags and embeddings."""
    rng = np.random.default_rng(n)
    return [
        Video(f"v{i}", 1_700_000_000_000, f"word{i % 97} and word{i} of eight or nine words in all",
              tags=(f"t{i % 50}", "x"), category=f"c{i % 20}", creator_id=f"by{i % 100}", language="de",
              duration_ms=30_000, embedding=tuple(rng.standard_normal(EMBEDDING).tolist()))
        for i in range(n)
    ]  # fmt: skip


def candidates(n: int) -> CandidateBatch:
    """N candidates with every column."""
    return _ranker.candidates(np.random.default_rng(n), n)


def states(of: Runtime, n: int) -> Any:
    """States as a record holds them, after two events."""
    state = np.zeros((n, UserForm().hidden), np.float32)
    for _ in range(2):
        state = of.users(state, events(n))[0]
    return state


def calls(all_of: dict[str, Runtime], n: int) -> dict[tuple[str, str], Call]:
    """(part, runtime) -> one call on a batch of n, and the hashing that they have in common."""
    state, inputs, some, batch = states(all_of["numpy"], n), events(n), videos(n), candidates(n)
    out: dict[tuple[str, str], Call] = {}
    for name, one in all_of.items():
        asked = one.asking(some)
        out["user step", name] = lambda one=one: one.users(state, inputs)  # type: ignore[misc]
        out["item tower", name] = lambda one=one, asked=asked: one.items(asked)  # type: ignore[misc]
        out["ranker", name] = lambda one=one: one.ranker(batch)  # type: ignore[misc]
    out[HASHING, "numpy"] = lambda: all_of["numpy"].asking(some)
    return out


def agree(made: dict[tuple[str, str], Call]) -> None:
    """What is compared has to be the same thing."""
    for name in RUNTIMES[1:]:
        user, expected = made["user step", name]()[1], made["user step", "numpy"]()[1]
        np.testing.assert_allclose(user, expected, atol=1e-2)  # states are halves
        np.testing.assert_allclose(
            made["item tower", name](), made["item tower", "numpy"](), atol=1e-4
        )
        served = made["ranker", "numpy"]()
        for head, values in made["ranker", name]().items():
            np.testing.assert_allclose(values, served[head], atol=1e-4, rtol=1e-4)


def latencies(folder: Path, rounds: int) -> dict[str, dict[str, float]]:
    """Milliseconds of the median call, by "part, batch" and runtime."""
    all_of = {name: runtime(name, folder) for name in RUNTIMES}
    out = dict[str, dict[str, float]]()
    for n in SIZES:
        made = calls(all_of, n)
        agree(made)
        blocks: dict[tuple[str, str], list[float]] = {key: [] for key in made}
        for _ in range(rounds):
            for key, call in made.items():
                blocks[key].append(_block_ms(call))
        for (part, name), taken in blocks.items():
            out.setdefault(f"{part}, batch {n}", {})[name] = float(np.median(taken))
    return out


def started(name: str, folder: Path) -> dict[str, float]:
    """Of a process that loads one runtime's models and answers one batch of each; run in one."""
    one = runtime(name, folder)
    one.users(np.zeros((1, UserForm().hidden), np.float32), events(1))
    one.items(one.asking(videos(1)))
    one.ranker(candidates(1))
    return {"rss_mb": rss_mb()}


def _block_ms(call: Call) -> float:
    """Median call of about 20 ms of calls."""
    taken, ends = list[float](), time.perf_counter() + _BLOCK_S
    while not taken or time.perf_counter() < ends:
        began = time.perf_counter()
        call()
        taken.append((time.perf_counter() - began) * 1e3)
    return float(np.median(taken))


def rss_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _child(program: str) -> dict[str, Any]:
    """What a process of its own prints as JSON, and how long it took to get there."""
    began = time.perf_counter()
    ended = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | _ONE_THREAD, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    if ended.returncode:
        raise RuntimeError(f"{program}: {ended.stderr}")
    return {**json.loads(ended.stdout), "seconds": time.perf_counter() - began}


def _asked(call: str) -> str:
    return (
        "import json; from pathlib import Path; from bench import runtimes as r; "
        f"print(json.dumps(r.{call}))"
    )


def _serving(more: str) -> str:
    tell = "import json; from bench.runtimes import rss_mb; print(json.dumps({'rss_mb': rss_mb()}))"
    return f"{_SERVING}{more}\n{tell}"


def start_ups(folder: Path, turns: int) -> dict[str, dict[str, float]]:
    """What -> seconds and resident MB: each runtime's, and a serving process' imports with torch."""
    programs = {
        f"{n}, a process": _asked(f"started({n!r}, Path({str(folder)!r}))") for n in RUNTIMES
    }
    programs |= {"serving": _serving(""), "serving with torch": _serving(", torch")}
    found: dict[str, list[dict[str, Any]]] = {what: [] for what in programs}
    for turn in range(turns):
        progress(f"start-ups, turn {turn + 1} of {turns}")
        for what, program in programs.items():
            found[what].append(_child(program))
    return {
        what: {name: float(np.median([one[name] for one in ran])) for name in ("rss_mb", "seconds")}
        for what, ran in found.items()
    }


def figures_of(
    taken: dict[str, dict[str, float]], ups: dict[str, dict[str, float]]
) -> list[Figure]:
    """Each beside numpy's."""
    figures = []
    for what, by_runtime in taken.items():
        for name, ms in by_runtime.items():
            beside = None if name == "numpy" else by_runtime["numpy"]
            figures.append(Figure(f"{what}, {name}", ms, "ms", beside, "numpy" if beside else ""))
    for what, one in ups.items():
        base = "serving" if what.startswith("serving") else "numpy, a process"
        for key, kind, unit in (("seconds", "start", "s"), ("rss_mb", "memory", "MB")):
            beside, against = (None, "") if what == base else (ups[base][key], base)
            figures.append(Figure(f"{what}: {kind}", one[key], unit, beside, against))
    return figures


def main(argv: Sequence[str] = ()) -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=25, help="blocks of calls of each")
    parser.add_argument("--turns", type=int, default=5, help="processes of each")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        written(folder)
        progress("latencies")
        call = f"latencies(Path({made!r}), {options.rounds})"
        taken = _child(_asked(call))
        taken.pop("seconds")
        ups = start_ups(folder, options.turns)
    report("runtimes", "numpy, onnxruntime and torch", figures_of(taken, ups),
           "ranker, batch 500, numpy")  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1:])
