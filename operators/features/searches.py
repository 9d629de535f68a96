"""The last searches: text (cut at 48 bytes) and time."""

from typing import Any

from contracts.user_record import SEARCH_BYTES, SEARCHES
from operators.features.protocol import LiveEvents, Records


def fold(records: Records, events: LiveEvents) -> None:
    """Append the query of a search."""
    for row, query in events.queries.items():
        event = events.rows[row]
        record = records[event["user"]]
        slot = record["search_n"] % SEARCHES
        record["search"][slot] = query.encode()[:SEARCH_BYTES]
        record["search_ms"][slot] = event["ts_ms"]
        record["search_n"] += 1


def recent_searches(state: Any) -> list[tuple[str, int]]:
    """(text, event time in ms) of the last searches of one record, newest first."""
    total = int(state["search_n"])
    slots = [i % SEARCHES for i in range(total - 1, max(total - SEARCHES, 0) - 1, -1)]
    return [
        (bytes(state["search"][i]).decode("utf-8", "ignore"), int(state["search_ms"][i]))
        for i in slots
    ]
