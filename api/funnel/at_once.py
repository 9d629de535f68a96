"""What is in memory answers at once: no task, no timer and no turn of the loop for it."""

import types
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any, TypeVar

T = TypeVar("T")


async def within(work: Coroutine[Any, Any, T], late: Callable[[Awaitable[T]], Awaitable[T]]) -> T:
    """The result of `work`; only if it has to wait, `late` is given the rest of it."""
    try:
        waits_for = work.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    return await late(_rest(work, waits_for))


@types.coroutine
def _rest(work: Coroutine[Any, Any, T], waits_for: Any) -> Generator[Any, Any, T]:
    """A coroutine that was begun, as one to be awaited."""
    while True:
        try:
            try:
                sent = yield waits_for
            except BaseException as e:
                waits_for = work.throw(e)
            else:
                waits_for = work.send(sent)
        except StopIteration as done:
            result: T = done.value
            return result
