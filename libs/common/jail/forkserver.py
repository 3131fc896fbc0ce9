"""The warm parent of jobs: imports once, stays single-threaded, forks one child per job, kills what overstays.

Run as `python -m libs.common.jail.forkserver <descriptor> <settings>` by `JobServer`; ends when its socket closes.
"""

import gc
import importlib
import json
import os
import selectors
import signal
import socket
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from libs.common.jail import child, privileges, wire
from libs.common.jail.confinement import interpreter_paths
from libs.common.jail.spares import Rehearsal, Spare

_TIDY_SECONDS = 1.0
_REFILL_SECONDS = 0.05


@dataclass(slots=True)
class _Running:
    job: int
    pid: int
    deadline: float
    timed_out: bool = False


class Forkserver:
    """Forks and watches the children of one `JobServer`."""

    def __init__(
        self,
        control: socket.socket,
        function: child.JobFunction,
        readable: list[str],
        *,
        rehearsal: Rehearsal | None = None,
        spares: int = 0,
    ) -> None:
        self._control = control
        self._function = function
        self._readable = readable
        self._rehearsal = rehearsal
        self._spares_wanted = spares if rehearsal else 0
        self._spares: list[Spare] = []
        self._running: dict[int, _Running] = {}  # by pidfd
        self._selector = selectors.DefaultSelector()
        self._selector.register(control, selectors.EVENT_READ)

    def serve(self) -> None:
        """Serve until the other side closes the socket, then kill all that still runs."""
        privileges.adopt_orphans()
        self._control.send(wire.pack({"ready": True}))
        while True:
            ready = self._selector.select(self._patience())
            if not ready:
                self._refill()
            for key, _ in ready:
                if key.fileobj is not self._control:
                    self._bury(cast("int", key.fileobj))
                elif not self._obey():
                    self._kill_all()
                    return
            self._kill_overdue()
            self._kill_strangers()

    def _patience(self) -> float | None:
        if not self._running:
            return _REFILL_SECONDS if len(self._spares) < self._spares_wanted else None
        nearest = min(running.deadline for running in self._running.values())
        return min(_TIDY_SECONDS, max(0.0, nearest - time.monotonic()))

    def _obey(self) -> bool:
        received = wire.receive(self._control)
        if received is None:
            return False
        message, descriptors = received
        if "kill" in message:
            self._kill_job(message["kill"])
        else:
            self._fork(message, descriptors)
        return True

    def _fork(self, message: dict[str, Any], descriptors: list[int]) -> None:
        pid, pidfd = self._take_spare(message, descriptors) or self._new_child(message, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        self._running[pidfd] = _Running(message["job"], pid, time.monotonic() + message["wall"])
        self._selector.register(pidfd, selectors.EVENT_READ)

    def _new_child(self, message: dict[str, Any], descriptors: list[int]) -> tuple[int, int]:
        pid = os.fork()
        if pid == 0:
            child.live(self._function, child.Work.of(message, descriptors), self._readable)
        return pid, os.pidfd_open(pid)

    def _take_spare(self, message: dict[str, Any], descriptors: list[int]) -> tuple[int, int] | None:
        for spare in list(self._spares):
            try:
                taken = spare.take(message, descriptors)
            except OSError:
                self._spares.remove(spare)
                spare.discard()
                continue
            if taken:
                self._spares.remove(spare)
                return spare.pid, spare.pidfd
        return None

    def _refill(self) -> None:
        """Replace one spare, when there was nothing to do for a moment: it must not slow a job down."""
        if self._rehearsal is not None and not self._running and len(self._spares) < self._spares_wanted:
            self._spares.append(Spare.fork(self._function, self._rehearsal, self._readable))

    def _bury(self, pidfd: int) -> None:
        running = self._running.pop(pidfd)
        self._selector.unregister(pidfd)
        os.close(pidfd)
        _kill_group(running.pid)  # before the wait: the dead leader keeps its group's number taken
        _, status, usage = os.wait4(running.pid, 0)
        report = {
            "done": running.job,
            "code": os.waitstatus_to_exitcode(status),
            "timed_out": running.timed_out,
            "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 6),
            "peak_rss": usage.ru_maxrss * 1024,
        }
        with suppress(BrokenPipeError, ConnectionResetError):
            self._control.send(wire.pack(report))

    def _kill_overdue(self) -> None:
        now = time.monotonic()
        for running in self._running.values():
            if running.deadline <= now and not running.timed_out:
                running.timed_out = True
                _kill_group(running.pid)

    def _kill_job(self, job: int) -> None:
        for running in self._running.values():
            if running.job == job:
                _kill_group(running.pid)

    def _kill_all(self) -> None:
        for running in self._running.values():
            _kill_group(running.pid)
        self._running.clear()
        self._spares.clear()
        self._kill_strangers()

    def _kill_strangers(self) -> None:
        """Kill descendants that outlived or left their job: they come to us as children that we did not fork."""
        ours = {running.pid for running in self._running.values()} | {spare.pid for spare in self._spares}
        for pid in set(_children()) - ours:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)


def _kill_group(pid: int) -> None:
    for kill in (os.killpg, os.kill):  # the group may not exist yet: the child makes it itself
        with suppress(ProcessLookupError, PermissionError):
            kill(pid, signal.SIGKILL)


def _children() -> list[int]:
    own = os.getpid()
    return [int(pid) for pid in Path(f"/proc/{own}/task/{own}/children").read_text().split()]


def _load(name: str) -> Any:
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


def _prepare(settings: dict[str, Any]) -> child.JobFunction:
    for module in settings["preload"]:
        importlib.import_module(module)
    function: child.JobFunction = _load(settings["entry"])
    if settings["warm"]:
        _load(settings["warm"])()
    os.environ.clear()
    threads = len(os.listdir("/proc/self/task"))  # noqa: PTH208
    if threads != 1:
        raise RuntimeError(f"preloading started threads ({threads}): a fork would copy their locks, not them")
    gc.collect()
    gc.freeze()
    return function


def main() -> None:
    """Prepare, say whether that worked, serve."""
    control = socket.socket(fileno=int(sys.argv[1]))
    control.set_inheritable(False)
    settings = json.loads(sys.argv[2])
    try:
        function = _prepare(settings)
    except Exception as error:
        control.send(wire.pack({"broken": f"{type(error).__name__}: {error}"[:2000]}))
        sys.exit(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; the socket's end is our sign
    readable = [*interpreter_paths(), *settings["readable"]]
    rehearsal = _load(settings["rehearsal"]) if settings["rehearsal"] else None
    Forkserver(control, function, readable, rehearsal=rehearsal, spares=settings["spares"]).serve()
    os._exit(0)  # DuckDB's bindings print leak reports at a normal exit


if __name__ == "__main__":
    main()
