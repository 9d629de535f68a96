"""One target under the coverage-guided fuzzer (Atheris): `python -m tests.hostile.fuzz TARGET ...`.

Arguments after the target are libFuzzer's. Ends at the first finding, whose bytes libFuzzer keeps.
Instrumented are the engine's own modules: they are imported inside.
"""

import logging
import sys
import warnings


def main() -> None:
    """Run until the time is over or something is found."""
    import atheris

    name, *arguments = sys.argv[1:]
    with atheris.instrument_imports(
        include=["contracts", "operators", "streams", "index_updater", "model_runtime", "api"]
    ):
        from tests.hostile.targets import TARGETS
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("error")
    atheris.Setup([sys.argv[0], *arguments], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
