"""`python -m tests.hostile MINUTES`: every target under the fuzzer for its share; findings are kept.

Each begins with the honest messages of `seeds` and with what earlier runs found worth keeping. What
is found is printed and lies in build/fuzz/findings/TARGET: it becomes an example of `test_poison`.
"""

import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.hostile.seeds import seeds

_FOLDER: Final = Path("build/fuzz")
_LONGEST_BYTES: Final = 16_384
_SLOWEST_S: Final = 20  # for one input, instrumented, on a busy machine
_MEMORY_MB: Final = 2048
# Decoders are compiled code, which the coverage does not see: what is worth trying is said.
_WORDS: Final = (
    "null", "true", "-1", "1e308", "1e400", "9223372036854775807", "18446744073709551616", "NaN",
    "Infinity", '""', "[]", "{}", "[[", '"\\\\ud800"', '"\\\\u0000"', "\\xff\\xff", "\\xcb\\x7f\\xf0",
    "\\xcf\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff", "\\xc7\\x08\\x01", "\\xdf\\xff\\xff",
    "253402300799999", "99999999999",
)  # fmt: skip


def fuzz(name: str, messages: list[bytes], seconds: int) -> bool:
    """Whether the target stood its time."""
    corpus, findings = _FOLDER / "corpus" / name, _FOLDER / "findings" / name
    for folder in (corpus, findings):
        folder.mkdir(parents=True, exist_ok=True)
    for i, message in enumerate(messages):
        (corpus / f"seed-{i}").write_bytes(message)
    words = _FOLDER / "words"
    words.write_text("".join(f'"{word.replace(chr(34), chr(92) + chr(34))}"\n' for word in _WORDS))
    done = subprocess.run(
        [
            sys.executable, "-m", "tests.hostile.fuzz", name, str(corpus),
            f"-max_total_time={seconds}", f"-artifact_prefix={findings}/",
            f"-max_len={_LONGEST_BYTES}", f"-dict={words}", f"-timeout={_SLOWEST_S}",
            f"-rss_limit_mb={_MEMORY_MB}", "-print_final_stats=1", "-verbosity=0",
        ],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    runs = [s.split()[-1] for s in done.stderr.splitlines() if "number_of_executed_units" in s]
    print(f"{name:20} {seconds:4} s {runs[-1] if runs else '?':>9} inputs", flush=True)
    if done.returncode:
        print(done.stdout[-4000:], done.stderr[-4000:], sep="\n", flush=True)
    return done.returncode == 0


def main() -> None:
    """Exit 1 if anything was found."""
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
    corpus = seeds()
    share = max(int(60 * minutes / len(corpus)), 1)
    found = [name for name, messages in corpus.items() if not fuzz(name, messages, share)]
    for name in found:
        print(f"found by {name}:", *sorted((_FOLDER / "findings" / name).iterdir()))
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
