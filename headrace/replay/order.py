"""Which files take part, and in which order their messages are sent."""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from contracts.errors import ConfigError
from headrace.replay import kuairand
from headrace.replay.json_lines import JsonLines
from headrace.replay.parquet import ParquetRows
from headrace.replay.rows import Kind, Message, Refused, Source, time_of

_JSON: Final = (".jsonl", ".ndjson", ".json")
_PARQUET: Final = (".parquet",)
_FIRST_LOOKED_AT: Final = 100  # rows of a file among which its first good event is looked for


def open_sources(
    path: Path, countries: Sequence[str] = (), country: str | None = None
) -> list[Source]:
    """The files at `path`: one file, a folder of files, or the KuaiRand files.

    Args:
        path: a file or a folder.
        countries, country: see `kuairand.sources`; of no account elsewhere.

    Raises:
        ConfigError: nothing there can be replayed.
    """
    if (found := kuairand.find(path)) is not None:
        return list(kuairand.sources(found, countries, country))
    if path.is_file():
        return [_opened(path)]
    if not path.is_dir():
        raise ConfigError(f"{path} does not exist")
    files = [file for file in sorted(path.rglob("*")) if file.suffix in _JSON + _PARQUET]
    # A training log may hold what was served once: that is for the engine to say, not for a replay.
    files = [
        file for file in files if not file.relative_to(path).parts[0].startswith("impressions")
    ]
    if not files:
        raise ConfigError(f"{path} holds no file that ends in {', '.join(_JSON + _PARQUET)}")
    return [_opened(file) for file in files]


def _opened(path: Path) -> Source:
    if path.suffix in _PARQUET:
        return ParquetRows(path)
    if path.suffix in _JSON:
        return JsonLines(path)
    raise ConfigError(f"{path}: only {', '.join(_JSON + _PARQUET)} can be replayed")


def first_event_ms(sources: Iterable[Source]) -> int | None:
    """Time of the earliest event that begins a file, None when there is no event."""
    firsts = []
    for source in sources:
        if source.kind is Kind.EVENTS:
            for _, item in zip(range(_FIRST_LOOKED_AT), source, strict=False):
                if not isinstance(item, Refused):
                    firsts.append(time_of(item) or 0)
                    break
    return min(firsts, default=None)


def last_event_ms(sources: Iterable[Source]) -> int | None:
    """Time of the latest event; reads every event file once."""
    events = (source for source in sources if source.kind is Kind.EVENTS)
    times = (time_of(item) for one in events for item in one if not isinstance(item, Refused))
    return max((at_ms for at_ms in times if at_ms is not None), default=None)


def in_order(sources: Sequence[Source], first_ms: int | None) -> Iterator[Message | Refused]:
    """What was there before the log first (profiles, then videos), then everything by time.

    Event files are merged and each is taken in its own order: one that is not sorted is sent as it
    is, which is what happened to it where it was recorded. Later videos are held in memory.
    """
    later: list[tuple[int, Message]] = []
    for kind in (Kind.PROFILES, Kind.VIDEOS):
        for source in sources:
            for item in source if source.kind is kind else ():
                at_ms = None if isinstance(item, Refused) else time_of(item)
                if first_ms is None or at_ms is None or at_ms <= first_ms:
                    yield item
                elif not isinstance(item, Refused):
                    later.append((at_ms, item))
    later.sort(key=lambda pair: pair[0])
    events = [_timed(source) for source in sources if source.kind is Kind.EVENTS]
    for _, item in heapq.merge(later, *events, key=lambda pair: pair[0]):
        yield item


def _timed(source: Source) -> Iterator[tuple[int, Message | Refused]]:
    """With times; a refused row goes with the one before it."""
    at_ms = 0
    for item in source:
        if not isinstance(item, Refused):
            at_ms = time_of(item) or at_ms
        yield at_ms, item
