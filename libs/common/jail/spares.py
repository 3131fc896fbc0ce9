"""Children forked ahead of their jobs: they have rehearsed, hold nothing, and wait to be handed one."""

import os
import signal
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NoReturn, Self

from libs.common.jail import child, privileges, wire
from libs.common.jail.confinement import close_all_but
from libs.common.jail.isolation import House

Rehearsal = Callable[[], object]
"""Does, with nothing of anybody's, what jobs will do, so that a job finds its memory in place."""


@dataclass(frozen=True, slots=True)
class Spare:
    """A child without a job: its process and the socket on which it says that it is ready, then hears its job."""

    pid: int
    pidfd: int
    channel: socket.socket
    plain: bool

    @classmethod
    def fork(cls, function: child.JobFunction, rehearsal: Rehearsal, house: House, *, plain: bool) -> Self:
        """Fork a spare; it rehearses while we go on."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pid = os.fork()
        if pid == 0:
            _wait(function, rehearsal, theirs, house)
        theirs.close()
        return cls(pid, os.pidfd_open(pid), ours, plain)

    def take(self, message: dict[str, Any], descriptors: Sequence[int]) -> bool:
        """Hand it a job; false where it is still rehearsing.

        Raises:
            OSError: it is gone.
        """
        try:
            # read, not looked at: a socket that is closed with something unread breaks the other end
            if not self.channel.recv(1, socket.MSG_DONTWAIT):
                raise ConnectionResetError
        except BlockingIOError:
            return False
        socket.send_fds(self.channel, [wire.pack(message)], list(descriptors))
        self.channel.close()
        return True

    def discard(self) -> None:
        """End it."""
        self.channel.close()
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.pidfd)


class Spares:
    """The spares of one warm parent: so many for its jobs, where there is a rehearsal of these, and so many for other calls."""

    def __init__(
        self, function: child.JobFunction, house: House, rehearsal: Rehearsal | None, *, jobs: int, plain: int
    ) -> None:
        self._function = function
        self._house = house
        self._rehearsals = {False: rehearsal, True: child.rehearse}  # by whether they are plain
        self._wanted = {False: jobs if rehearsal is not None else 0, True: plain}
        self._waiting: list[Spare] = []

    @property
    def missing(self) -> bool:
        """Whether there are fewer than are wanted."""
        return self._lacking(plain=False) or self._lacking(plain=True)

    def _lacking(self, *, plain: bool) -> bool:
        return sum(spare.plain == plain for spare in self._waiting) < self._wanted[plain]

    @property
    def pids(self) -> set[int]:
        """The processes that wait."""
        return {spare.pid for spare in self._waiting}

    def fork_one(self) -> None:
        """Fork one that is missing: for a job first."""
        plain = not self._lacking(plain=False)
        rehearsal = self._rehearsals[plain]
        if rehearsal is not None:
            self._waiting.append(Spare.fork(self._function, rehearsal, self._house, plain=plain))

    def take(self, message: dict[str, Any], descriptors: Sequence[int]) -> tuple[int, int] | None:
        """Hand a job to the youngest of its kind that is ready; return its process and that one's descriptor."""
        for spare in [one for one in reversed(self._waiting) if one.plain == message["plain"]]:
            try:
                taken = spare.take(message, descriptors)
            except OSError:
                self._waiting.remove(spare)
                spare.discard()
                continue
            if taken:
                self._waiting.remove(spare)
                return spare.pid, spare.pidfd
        return None

    def clear(self) -> None:
        """Forget them all: whoever kills strangers finds them."""
        self._waiting.clear()


def _wait(function: child.JobFunction, rehearsal: Rehearsal, channel: socket.socket, house: House) -> NoReturn:
    try:
        privileges.die_with_parent()
        # the server's sockets and other jobs' descriptors came along
        close_all_but({channel.fileno()})
        rehearsal()
        ground = child.Ground.take(house)
        channel.send(b"1")
        received = wire.receive(channel)
        if received is not None:
            channel.close()
            message, descriptors = received
            child.live(function, child.Work.of(message, descriptors), house, ground)
    finally:
        os._exit(child.EXIT_UNCONFINED)
