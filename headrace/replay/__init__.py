"""Recorded events, videos and profiles through the running engine, at a chosen speed."""

from headrace.replay.clock import Shift
from headrace.replay.replaying import Summary, run
from headrace.replay.telling import FILE, Progress

__all__ = ["FILE", "Progress", "Shift", "Summary", "run"]
