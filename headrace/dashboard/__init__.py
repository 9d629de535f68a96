"""The live terminal view of a running sandbox."""

from headrace.dashboard.live import run

__all__ = ["run"]
