"""The jail as a process of its own: listens for each of its warm parents, starts them, and starts them again when they die."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import structlog

from libs.common.jail import privileges, seccomp, sockets
from libs.common.jail.confinement import interpreter_paths
from libs.common.jail.isolation import Isolation, layers_of
from libs.common.jail.settings import ENVIRONMENT, WarmParent

_LOG = structlog.get_logger(__name__)
_FIRST_DELAY, _LONGEST_DELAY, _STEADY_AFTER, _LOOK_SECONDS = 0.1, 5.0, 30.0, 0.02


class Host:
    """The warm parents of one jail and the sockets on which they listen.

    The sockets outlive the parents: who connects while one starts again waits, and is not refused.
    """

    def __init__(self, directory: Path, parents: Mapping[str, WarmParent]) -> None:
        self._parents = parents
        self._listeners: dict[str, socket.socket] = {name: sockets.listen(directory, name) for name in parents}
        self._running: dict[int, tuple[str, float]] = {}
        self._due: dict[str, float] = {}
        self._delays = dict.fromkeys(parents, _FIRST_DELAY)

    def serve(self) -> NoReturn:
        """Keep every parent running until this process is told to stop; none waits for another's new start."""
        for name in self._parents:
            self._start(name)
        while True:
            self._bury()
            now = time.monotonic()
            for name in [name for name, when in self._due.items() if when <= now]:
                del self._due[name]
                self._start(name)

    def _bury(self) -> None:
        """Wait for a child's end; while a parent is due to start, look for one and return soon."""
        pid = status = 0
        with suppress(ChildProcessError):  # every parent is due
            pid, status = os.waitpid(-1, os.WNOHANG if self._due else 0)
        if pid in self._running:
            self._plan(pid, os.waitstatus_to_exitcode(status))
        elif not pid:
            time.sleep(_LOOK_SECONDS)

    def stop(self, *_: object) -> NoReturn:
        """Kill the parents and leave; what they run dies with them."""
        for pid in self._running:
            os.kill(pid, signal.SIGKILL)
        os._exit(0)

    def _start(self, name: str) -> None:
        descriptor = self._listeners[name].fileno()
        command = self._parents[name].command(descriptor, listening=True)
        process = subprocess.Popen(command, pass_fds=[descriptor], stdin=subprocess.DEVNULL, env=ENVIRONMENT, cwd="/")  # noqa: S603 - our own command
        process.returncode = 0  # waited for below, not by the object
        self._running[process.pid] = (name, time.monotonic())

    def _plan(self, pid: int, code: int) -> None:
        """Have a parent that died started again, later each time that it dies young."""
        name, began = self._running.pop(pid)
        steady = time.monotonic() - began > _STEADY_AFTER
        delay = _FIRST_DELAY if steady else self._delays[name]
        self._delays[name] = min(_LONGEST_DELAY, delay * 2)
        _LOG.warning("jail.parent_died", parent=name, code=code, delay=delay)
        self._due[name] = time.monotonic() + delay


def run(directory: Path, parents: Mapping[str, WarmParent], isolation: Isolation = "auto") -> NoReturn:
    """Be the jail: hold nothing, listen in `directory`, keep `parents` warm in houses of `isolation`; returns never.

    Raises:
        StrangerError: the directory is another user's or open to others.
        ConfinementError: what is configured, or what every tier needs, is not to be had; nothing is served.
    """
    os.environ.clear()
    privileges.forbid_new_privileges()
    layers = layers_of(isolation, interpreter_paths())
    host = Host(directory, {name: replace(parent, isolation=isolation) for name, parent in parents.items()})
    seccomp.forbid_contacts(programs=True)

    def stop(_: int, __: FrameType | None) -> Any:
        host.stop()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    _LOG.info("jail.listening", parents=sorted(parents), isolation=isolation, layers=layers)
    sys.stdout.flush()
    host.serve()
