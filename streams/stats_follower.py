"""`video-stats` -> the statistics board, for every process that needs to know how videos fare."""

import logging
from collections.abc import Sequence
from itertools import groupby

from confluent_kafka import Message

from contracts.stats_rows import decode
from operators.stats_board import StatsBoard

_log = logging.getLogger(__name__)


def apply_stats(board: StatsBoard, messages: Sequence[Message]) -> None:
    """Bring the board forward by messages in the order of their offsets; a bad one is passed over.

    Raises:
        ValueError, OverflowError: a tombstone's key is not one of ours.
    """
    for withdrawn, run in groupby(messages, lambda m: m.value() is None):
        if withdrawn:
            keys = [_key(m) for m in run]
            board.forget([int(video) for video, _ in keys], [source for _, source in keys])
            continue
        some = list(run)
        states, bad = decode([m.value() or b"" for m in some])
        for m in (some[i] for i in bad):  # only the engine writes here: a bug, said and passed over
            _log.error("video-stats %s@%s: not statistics", m.partition(), m.offset())
        board.apply(states)


def _key(message: Message) -> tuple[str, str]:
    key = message.key() or b""
    video, _, source = (key if isinstance(key, str) else key.decode()).partition("|")
    return video, source
