"""Ending processes with all that they started."""

import os
import signal
import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


class Usage(Protocol):
    """What a process used: seconds of processor time, and KiB of memory at its peak; as `os.wait4` says it."""

    @property
    def ru_utime(self) -> float: ...  # noqa: D102
    @property
    def ru_stime(self) -> float: ...  # noqa: D102
    @property
    def ru_maxrss(self) -> int: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class _SoFar:
    ru_utime: float = 0.0
    ru_stime: float = 0.0
    ru_maxrss: int = 0


def usage_so_far(pid: int) -> Usage:
    """Return what a child that has not ended used until now; its memory may be gone already, and counts as none then."""
    try:
        fields = _fields(pid)
        status = Path(f"/proc/{pid}/status").read_bytes()
    except OSError:
        return _SoFar()
    ticks = os.sysconf("SC_CLK_TCK")
    peak = next((int(line.split()[1]) for line in status.splitlines() if line.startswith(b"VmHWM:")), 0)
    return _SoFar(int(fields[11]) / ticks, int(fields[12]) / ticks, peak)


def threads_of(pid: int) -> int:
    """Return how many threads a process has, 0 where it is gone."""
    try:
        return os.stat(f"/proc/{pid}/task").st_nlink - 2  # noqa: PTH116 - asked often; to read would take ten times as long
    except OSError:
        return 0


def _fields(pid: int) -> list[bytes]:
    # a process calls itself what it likes, be it text or not
    return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()


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


def news_of_children() -> socket.socket:
    """Return a socket that can be read when a child has stopped or ended."""
    news, teller = socket.socketpair()
    for end in (news, teller):
        end.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(teller.detach(), warn_on_full_buffer=False)
    return news
