"""Stop every child of a launcher that has died: run as a script, it reads process ids from its standard input.

The kernel's parent-death signal reaches direct children, on Linux only. This reaches whole sessions, everywhere:
the pipe ends when the launcher does, however it died.
"""

import os
import signal
import sys
from collections.abc import Iterable


def survivors(lines: Iterable[str]) -> set[int]:
    """Return the process ids that were announced (`+pid`) and not taken back (`-pid`) when the pipe ended."""
    alive: set[int] = set()
    for line in lines:
        pid = int(line[1:])
        if line.startswith("+"):
            alive.add(pid)
        else:
            alive.discard(pid)
    return alive


def main() -> None:
    """Wait for the launcher's end, then kill what it left behind."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    for pid in survivors(sys.stdin):
        try:
            os.killpg(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue


if __name__ == "__main__":
    main()
