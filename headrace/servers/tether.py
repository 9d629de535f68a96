"""Ties a process to its parent, so that a parent that is killed leaves no orphan behind.

Run as a program it ties itself and becomes the command: `python tether.py PARENT COMMAND...`. That
is safer than a `preexec_fn`, which may deadlock in a process with threads. Standard library only:
it starts before every server.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when `parent` ends. Linux; elsewhere nothing happens.

    The kernel watches the *thread* that started us: start children from a thread that lives as long
    as they do (the main thread, for the supervisor).
    """
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it ended before we asked
        os.kill(os.getpid(), signal.SIGKILL)


def tethered(command: list[str]) -> list[str]:
    """The command line that runs `command` as a child which does not outlive this process."""
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *command]


if __name__ == "__main__":
    die_with_parent(int(sys.argv[1]))
    os.execvp(sys.argv[2], sys.argv[2:])
