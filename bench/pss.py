"""Memory of a process tree: proportional set sizes, so that shared pages count once."""

import resource
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

_PAGE = resource.getpagesize()


class _Watch:
    """Samples a figure of a process and what it started until told to stop."""

    def __init__(self, pid: int, figure: Callable[[int], int], interval: float) -> None:
        self._pid, self._figure, self._interval, self._peak = pid, figure, interval, 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def stop(self) -> int:
        """Return the peak in bytes."""
        self._stop.set()
        self._thread.join()
        return self._peak

    def _sample(self) -> None:
        while not self._stop.wait(self._interval):
            self._peak = max(self._peak, self._figure(self._pid))


def watch_tree(pid: int) -> _Watch:
    """Watch the summed PSS of a process and all its descendants."""
    return _Watch(pid, lambda top: sum(map(_pss, _tree(top))), 0.1)


def watch_largest(pid: int) -> _Watch:
    """Watch the largest resident set of any single process below a given one, shared pages included."""
    return _Watch(pid, lambda top: max((_resident(one) for one in _tree(top) if one != top), default=0), 0.02)


def _tree(pid: int) -> list[int]:
    found, todo = [], [pid]
    while todo:
        one = todo.pop()
        found.append(one)
        for children in Path(f"/proc/{one}/task").glob("*/children"):
            try:
                todo += [int(child) for child in children.read_text().split()]
            except OSError:
                continue
    return found


def _pss(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0


def run_watched(command: list[str], **options: object) -> tuple[str, int, float]:
    """Run a command to its end; return its output, its tree's peak PSS in bytes and its wall seconds."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options)  # type: ignore[call-overload]  # noqa: S603 - our own
    watch = watch_tree(process.pid)
    output, _ = process.communicate()
    peak = watch.stop()
    if process.returncode:
        raise SystemExit(f"{command} failed with {process.returncode}")
    return output, peak, time.perf_counter() - started
