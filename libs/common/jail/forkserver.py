"""The warm parent of jobs: imports once, stays single-threaded, forks one child per job, kills what overstays.

Run as `python -m libs.common.jail.forkserver <descriptor> <settings>` by `JobServer`, then it ends when its socket
closes, or by `host`, then it listens on it.
"""

import json
import os
import selectors
import signal
import socket
import sys
import time
from contextlib import suppress
from typing import Any

from libs.common.jail import child, privileges, sockets, wire
from libs.common.jail.families import Usage, children, kill_group, news_of_children, stopped, threads_of, usage_so_far
from libs.common.jail.isolation import House
from libs.common.jail.room import Room
from libs.common.jail.running import DYING_SECONDS, Running
from libs.common.jail.settings import WarmParent
from libs.common.jail.settling import load, settle
from libs.common.jail.spares import Spares

_LOOK_SECONDS, _TIDY_SECONDS = 0.05, 1.0
_MOST_THREADS = 512  # nothing else bounds them: one needs no memory of its own, and the system has only so many
_REFILL_SECONDS = 0.02
_DEMOTED_AFTER, _DEMOTED = 1.0, 10


class Forkserver:
    """Forks and watches the children of those who are connected to it; long ones yield to short ones.

    With a `listener` it serves whoever of its own user comes, until it is killed; without one, `client` until it hangs up.
    """

    def __init__(
        self,
        settings: WarmParent,
        function: child.JobFunction,
        house: House,
        *,
        client: socket.socket | None = None,
        listener: socket.socket | None = None,
    ) -> None:
        self._listener = listener
        self._function = function
        self._house = house
        rehearsal = load(settings.rehearsal) if settings.rehearsal else None
        self._spares = Spares(function, house, rehearsal, jobs=settings.spares, plain=settings.plain_spares)
        self._running: dict[int, Running] = {}  # by pidfd
        self._leaving: dict[int, Running] = {}  # by pid: told of, killed, their memory not yet freed
        self._gone: list[Running] = []  # freed, and not told of
        self._clients: set[socket.socket] = set()
        self._tidy_at = 0.0
        self._selector = selectors.DefaultSelector()
        if client is not None:
            self._welcome(client)
        if listener is not None:
            listener.setblocking(False)
            self._selector.register(listener, selectors.EVENT_READ)
        self._news = news_of_children()
        self._selector.register(self._news, selectors.EVENT_READ)

    def serve(self) -> None:
        """Serve until nobody can come any more, then kill all that still runs."""
        privileges.adopt_orphans()
        while self._clients or self._listener is not None:
            ready = self._selector.select(self._patience())
            if not ready:
                self._refill()
            for key, _ in ready:
                self._attend(key.fileobj)
            self._kill_overdue()
            if ready or self._tidy_at <= time.monotonic():
                self._kill_strangers()
            self._take_leave()
        self._kill_all()

    def _attend(self, who: Any) -> None:
        if isinstance(who, int):
            self._bury(who)
        elif who is self._news:
            self._hear()
        elif who is self._listener:
            self._accept()
        elif who in self._clients:  # not one that left a moment ago
            self._obey(who)

    def _accept(self) -> None:
        listener = self._listener
        if listener is None:
            return
        try:
            client, _ = listener.accept()
            sockets.require_own_peer(client)
        except OSError:
            return  # who is somebody else, or gone again
        self._welcome(client)

    def _welcome(self, client: socket.socket) -> None:
        client.setblocking(False)
        self._clients.add(client)
        self._selector.register(client, selectors.EVENT_READ)
        self._tell(client, {"ready": True})

    def _part(self, client: socket.socket) -> None:
        """Forget a client; what it had running ends."""
        self._clients.discard(client)
        self._selector.unregister(client)
        client.close()
        for running in self._running.values():
            if running.client is client:
                kill_group(running.pid)

    def _tell(self, client: socket.socket, message: dict[str, Any]) -> None:
        if client not in self._clients:
            return
        try:
            client.send(wire.pack(message))
        except OSError:  # it is gone, or does not listen
            self._part(client)

    def _patience(self) -> float | None:
        if not self._running:
            return _REFILL_SECONDS if self._spares.missing else None
        nearest = min(running.due for running in self._running.values())
        return min(_LOOK_SECONDS, max(0.0, nearest - time.monotonic()))

    def _obey(self, client: socket.socket) -> None:
        try:
            received = wire.receive(client)
        except BlockingIOError:
            return
        except wire.MalformedError:
            received = None
        if received is None:
            self._part(client)
            return
        message, descriptors = received
        if "kill" in message:
            self._kill_job(client, message["kill"])
        else:
            self._fork(client, message, descriptors)

    def _fork(self, client: socket.socket, message: dict[str, Any], descriptors: list[int]) -> None:
        most = message["total"]
        room = None if most is None else Room.of(most, descriptors, message["writable"])
        pid, pidfd = self._spares.take(message, descriptors) or self._new_child(message, descriptors)
        if room is not None:
            room.pid = pid
        for descriptor in descriptors:
            os.close(descriptor)
        now = time.monotonic()
        self._running[pidfd] = Running(client, message["job"], pid, now + message["wall"], now + _DEMOTED_AFTER, room)
        self._selector.register(pidfd, selectors.EVENT_READ)

    def _new_child(self, message: dict[str, Any], descriptors: list[int]) -> tuple[int, int]:
        pid = os.fork()
        if pid == 0:
            child.live(self._function, child.Work.of(message, descriptors), self._house)
        return pid, os.pidfd_open(pid)

    def _refill(self) -> None:
        """Replace one spare, when there was nothing to do for a moment: it must not slow a job down."""
        if not self._running and self._spares.missing:
            self._spares.fork_one()

    def _hear(self) -> None:
        """Look who has stopped, and who is gone: one signal may stand for several children."""
        self._news.recv(4096)
        ended = [pid for pid in self._leaving if os.waitpid(pid, os.WNOHANG)[0]]
        self._gone += [self._leaving.pop(pid) for pid in ended]
        for pidfd, running in list(self._running.items()):
            if stopped(running.pid):
                self._dismiss(pidfd)

    def _dismiss(self, pidfd: int) -> None:
        """End a job whose process has stopped, all its threads: it is killed where it stands, and runs no more."""
        running = self._forget(pidfd)
        _, status, usage = os.wait4(running.pid, os.WUNTRACED)
        if not os.WIFSTOPPED(status):  # killed a moment ago
            self._gone.append(running)
            return self._report(running, os.waitstatus_to_exitcode(status), usage)
        kill_group(running.pid)
        self._leaving[running.pid] = running
        return self._report(running, 0, usage)

    def _bury(self, pidfd: int) -> None:
        if pidfd not in self._running:  # dismissed a moment ago
            return
        running = self._forget(pidfd)
        kill_group(running.pid)  # before the wait: the dead leader keeps its group's number taken
        _, status, usage = os.wait4(running.pid, 0)
        self._gone.append(running)
        self._report(running, os.waitstatus_to_exitcode(status), usage)

    def _forget(self, pidfd: int) -> Running:
        self._selector.unregister(pidfd)
        os.close(pidfd)
        return self._running.pop(pidfd)

    def _report(self, running: Running, code: int, usage: Usage) -> None:
        room = running.room
        if room is not None:
            room.look()  # it may have ended between two looks
            room.close()
        report = {
            "done": running.job,
            "code": code,
            "timed_out": running.timed_out,
            "overfull": room is not None and room.exceeded,
            "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 6),
            "peak_rss": usage.ru_maxrss * 1024,
        }
        self._tell(running.client, report)

    def _kill_overdue(self) -> None:
        now = time.monotonic()
        for pidfd, running in list(self._running.items()):
            room = running.room
            if room is not None and room.due <= now and not room.exceeded and room.look():
                kill_group(running.pid)
            if threads_of(running.pid) > _MOST_THREADS:
                kill_group(running.pid)
            if running.timed_out:
                if running.deadline + DYING_SECONDS <= now:
                    self._leave(pidfd)
            elif running.deadline <= now:
                running.timed_out = True
                kill_group(running.pid)
            elif running.demoted_at <= now and not running.demoted:
                running.demoted = True
                with suppress(ProcessLookupError):
                    os.setpriority(os.PRIO_PGRP, running.pid, _DEMOTED)  # all its threads

    def _leave(self, pidfd: int) -> None:
        """Tell of a job that is killed and takes long to die on a busy machine: it runs no more, nobody need wait."""
        running = self._forget(pidfd)
        self._leaving[running.pid] = running
        self._report(running, -signal.SIGKILL, usage_so_far(running.pid))

    def _take_leave(self) -> None:
        """Say whose processes are no more, with whatever they left: only now is there memory for others."""
        gone, self._gone = self._gone, []
        for running in gone:
            self._tell(running.client, {"gone": running.job})

    def _kill_job(self, client: socket.socket, job: int) -> None:
        for running in self._running.values():
            if running.client is client and running.job == job:
                kill_group(running.pid)

    def _kill_all(self) -> None:
        for running in self._running.values():
            kill_group(running.pid)
        self._running.clear()
        self._spares.clear()
        self._kill_strangers()

    def _kill_strangers(self) -> None:
        """Kill descendants that outlived or left their job: they come to us as children that we did not fork."""
        self._tidy_at = time.monotonic() + _TIDY_SECONDS
        ours = {running.pid for running in self._running.values()} | self._spares.pids
        ours |= self._leaving.keys()
        for pid in set(children()) - ours:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)


def main() -> None:
    """Prepare, say whether that worked, serve."""
    control = socket.socket(fileno=int(sys.argv[1]))
    control.set_inheritable(False)
    given = json.loads(sys.argv[2])
    listening = given.pop("listening")
    settings = WarmParent(**given)
    if listening:
        privileges.die_with_parent()
    try:
        function, house = settle(settings, listening=listening)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"[:2000]
        if listening:
            sys.exit(reason)
        control.send(wire.pack({"broken": reason}))
        sys.exit(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; the socket's end is our sign
    who = {"listener" if listening else "client": control}
    Forkserver(settings, function, house, **who).serve()
    os._exit(0)  # DuckDB's bindings print leak reports at a normal exit


if __name__ == "__main__":
    main()
