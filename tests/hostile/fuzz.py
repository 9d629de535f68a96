"""One target under the coverage-guided fuzzer (Atheris): `python -m tests.hostile.fuzz TARGET ...`.

Arguments after the target are libFuzzer's. Ends at the first finding, whose bytes libFuzzer keeps.
Instrumented are the engine's own modules, which are imported inside, but for those with compiled loops:
numba compiles bytecode, and knows none of Atheris' calls in it.
"""

import logging
import sys
import warnings
from pathlib import Path
from typing import Final

_PACKAGES: Final = ("contracts", "operators", "streams", "index_updater", "model_runtime", "api")


def compiled() -> list[str]:
    """Modules that have kernels."""
    root = Path(__file__).parents[2]
    return [
        ".".join(path.relative_to(root).with_suffix("").parts)
        for package in _PACKAGES
        for path in (root / package).rglob("*.py")
        if "from operators.kernel import" in path.read_text()
    ]


def main() -> None:
    """Run until the time is over or something is found."""
    import atheris

    name, *arguments = sys.argv[1:]
    with atheris.instrument_imports(include=list(_PACKAGES), exclude=compiled()):
        from tests.hostile.targets import TARGETS
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("error")
    atheris.Setup([sys.argv[0], *arguments], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
