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

    @classmethod
    def fork(cls, function: child.JobFunction, rehearsal: Rehearsal, house: House) -> Self:
        """Fork a spare; it rehearses while we go on."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pid = os.fork()
        if pid == 0:
            _wait(function, rehearsal, theirs, house)
        theirs.close()
        return cls(pid, os.pidfd_open(pid), ours)

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
