"""The last searches: text (cut at 48 bytes) and time."""

from typing import Any

import numpy as np

from contracts.user_record import SEARCHES
from operators.features.protocol import Records, Round


def fold(records: Records, rounds: Round) -> None:
    """Append the query of a search."""
    if rounds.queries is None:
        return
    rows = np.flatnonzero(rounds.queries != b"")
    slot = records["search_n"][rows] % SEARCHES
    records["search"][rows, slot] = rounds.queries[rows]
    records["search_ms"][rows, slot] = rounds.events["ts_ms"][rows]
    records["search_n"][rows] += 1


def recent_searches(state: Any) -> list[tuple[str, int]]:
    """(text, event time in ms) of the last searches of one record, newest first."""
    total = int(state["search_n"])
    slots = [i % SEARCHES for i in range(total - 1, max(total - SEARCHES, 0) - 1, -1)]
    return [
        (bytes(state["search"][i]).decode("utf-8", "ignore"), int(state["search_ms"][i]))
        for i in slots
    ]
