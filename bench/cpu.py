"""CPU time of a process and all its descendants, also of those that have ended and were waited for."""

import os

import psutil


def tree_cpu(pid: int | None = None) -> float:
    """Return the CPU seconds, user and system, of all threads of a process tree so far; default: of this process."""
    root = psutil.Process(pid or os.getpid())
    return sum(map(_spent, [root, *root.children(recursive=True)]))


def _spent(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:  # it ended just now: its parent's children have it at the next look
        return 0.0
    return float(times.user + times.system + times.children_user + times.children_system)
