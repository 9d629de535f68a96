"""`python -m bench [NAME...]`: each benchmark is a file here with a `main()` that prints a table.

It writes its figures as JSON to `bench/out/NAME.json`, for whoever compares two commits.
"""

import importlib
import sys
import time
from pathlib import Path

FOLDER = Path(__file__).parent


# These take arguments, or a log: `python -m bench.NAME --help`.
ASKING = frozenset({"ab", "learning", "staleness"})


def names() -> list[str]:
    """Every benchmark that needs nothing: modules of this folder that do not begin with an underscore."""
    found = {p.stem for p in FOLDER.glob("*.py") if not p.stem.startswith("_")}
    return sorted(found - ASKING)


def run(name: str) -> None:
    """Run one, and say how long it took."""
    print(f"== {name}", flush=True)
    began_s = time.perf_counter()
    importlib.import_module(f"bench.{name}").main()
    print(f"== {name}: {time.perf_counter() - began_s:.1f} s\n", flush=True)


def main(wanted: list[str]) -> int:
    """Run those wanted, all when none is named; 2 for an unknown name."""
    if unknown := sorted(set(wanted) - set(names())):
        print(f"bench: no {', '.join(unknown)}; there are: {', '.join(names())}", file=sys.stderr)
        return 2
    (FOLDER / "out").mkdir(exist_ok=True)
    for name in wanted or names():
        run(name)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
