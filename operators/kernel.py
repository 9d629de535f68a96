"""Compiled loops: the fold says what one event does after the other, and costs what C would.

numba compiles a kernel when it is first called, and keeps the code on disk. Who calls none never
imports the compiler; a process that serves calls those of its index when it starts.

Traps inside a kernel: an integer beside a float32 gives float64, an int64 beside a uint64 too; and
arguments are arrays or numbers, a record array by the fields that it needs (`records[FIELDS]`).
"""

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def kernel(function: Callable[P, R], **options: Any) -> Callable[P, R]:
    """`function`, compiled at its first call. It may call numpy, and no function of ours."""
    compiled: Any = None

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        nonlocal compiled
        if compiled is None:
            compiled = _compile(function, **options)
        result: R = compiled(*args, **kwargs)
        return result

    return call


def loose_kernel(function: Callable[P, R]) -> Callable[P, R]:
    """As `kernel`; sums may be taken in any order."""
    return kernel(function, fastmath={"reassoc", "contract", "nsz"})


def free_kernel(function: Callable[P, R]) -> Callable[P, R]:
    """As `loose_kernel`, without the interpreter's lock: for what takes much longer than a hand-over."""
    return kernel(function, nogil=True, fastmath={"reassoc", "contract", "nsz"})


def _compile(function: Callable[..., Any], **options: Any) -> Any:
    from numba import njit

    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:  # no folder for compiled code can be written: compile at every start
        return njit(**options)(function)
