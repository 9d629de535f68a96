"""Spans of time in milliseconds, the unit of every time on the wire."""

from typing import Final

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
