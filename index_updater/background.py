"""Work on a copy of this process' memory, in a child made by `fork`.

The child runs one function that touches files only, and ends by `_exit`: no thread, no socket and no
handler of the parent lives on in it. The parent has to keep OpenBLAS to one thread, as `headrace serve`
does: at a fork it ends its others, and a product that is under way in one of them never returns.
"""

import gc
import os
import resource
import signal
import warnings
from collections.abc import Callable
from typing import Final

_DONE: Final = b"done"
_NICE: Final = 10  # the parent serves meanwhile


class Child:
    """A running child. `wait` or `cancel` has to be called."""

    def __init__(self, pid: int, pipe: int) -> None:
        self.pid = pid
        self._pipe = pipe

    def wait(self) -> None:
        """Until it has ended.

        Raises:
            OSError: it failed, or was killed.
        """
        said = b""
        with os.fdopen(self._pipe, "rb") as pipe:
            said = pipe.read()
        self._reap()
        if said != _DONE:
            raise OSError(said.decode("utf-8", "replace") or "the child process was killed")

    def cancel(self) -> None:
        """Kill it, and wait until it is gone."""
        os.kill(self.pid, signal.SIGKILL)
        os.close(self._pipe)
        self._reap()

    def _reap(self) -> None:
        try:
            os.waitpid(self.pid, 0)
        except ChildProcessError:
            pass  # somebody who waits for all children was quicker


def in_child(work: Callable[[], None]) -> Child:
    """Run `work` in a child process; returns as soon as it is made.

    Raises:
        OSError: no process could be made.
    """
    read, write = os.pipe()
    with warnings.catch_warnings():
        # Python 3.12 warns of threads that hold locks in the child. It takes none of theirs: the
        # callers hold those of the data, and files, numpy and hnswlib's writing have no other.
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            pid = os.fork()
        except OSError:
            os.close(read)
            os.close(write)
            raise
    if pid == 0:
        _run(work, write)
    os.close(write)
    return Child(pid, read)


def _run(work: Callable[[], None], pipe: int) -> None:
    """In the child; does not return."""
    said = b""
    try:
        gc.disable()  # a collection would touch, and so copy, every page
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(each, signal.SIG_DFL)
        # A socket that lives on here would keep its port taken after the parent's end.
        most = min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], 1 << 20)
        os.closerange(3, pipe)
        os.closerange(pipe + 1, most)
        os.nice(_NICE)
        work()
        said = _DONE
    except BaseException as e:
        said = f"{type(e).__name__}: {e}".encode()[:1000]
    finally:
        try:
            os.write(pipe, said)
        finally:  # also when the parent is gone: nothing of it may run on here
            os._exit(0)
