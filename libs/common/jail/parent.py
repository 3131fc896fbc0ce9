"""A forkserver of one's own: a child process, and the connection to it."""

import asyncio
import socket
from asyncio.subprocess import DEVNULL, Process
from typing import Self

from libs.common.jail.connection import Connection
from libs.common.jail.settings import ENVIRONMENT, WarmParent

_START_SECONDS = 60.0
_LAST_WORDS_SECONDS = 2.0


class Parent(Connection):
    """The connection to a forkserver that is our child."""

    def __init__(self, process: Process, control: socket.socket) -> None:
        super().__init__(control)
        self._process = process

    @classmethod
    async def start(cls, settings: WarmParent) -> Self:
        """Start a forkserver and wait until it is warm.

        Raises:
            JobServerLost: when it cannot import what it should, or takes longer than a minute.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            process = await asyncio.create_subprocess_exec(
                *settings.command(theirs.fileno()),
                pass_fds=[theirs.fileno()],
                stdin=DEVNULL,
                stdout=DEVNULL,
                env=ENVIRONMENT,
                cwd="/",
            )
        parent = cls(process, ours)
        try:
            await parent.ready(_START_SECONDS)
        except BaseException:
            await parent.close()
            raise
        return parent

    @property
    def pid(self) -> int:
        """The forkserver's process id."""
        return self._process.pid

    async def close(self) -> None:
        """End the forkserver and whatever it runs."""
        self.lose("the job server was closed")
        try:
            await asyncio.wait_for(self._process.wait(), _LAST_WORDS_SECONDS)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
