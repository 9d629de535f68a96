"""A closed loop to try the engine on: viewers with hidden tastes, creators who publish, over HTTP."""

from headrace.simulator.closed_loop import run
from headrace.simulator.plan import Plan
from headrace.simulator.report import FILE

__all__ = ["FILE", "Plan", "run"]
