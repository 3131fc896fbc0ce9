"""Ending processes with all that they started."""

import os
import signal
from contextlib import suppress
from pathlib import Path


def kill_group(pid: int) -> None:
    """Kill a process and its group."""
    for kill in (os.killpg, os.kill):  # the group may not exist yet: the child makes it itself
        with suppress(ProcessLookupError, PermissionError):
            kill(pid, signal.SIGKILL)


def stopped(pid: int) -> bool:
    """Tell whether a child of ours has stopped, all its threads, and nobody has been told so yet."""
    try:
        return os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:  # it died and is not buried yet: who asks for stopped ones alone is told of no child
        return False


def children() -> list[int]:
    """Return the ids of this process's children."""
    own = os.getpid()
    return [int(pid) for pid in Path(f"/proc/{own}/task/{own}/children").read_text().split()]
