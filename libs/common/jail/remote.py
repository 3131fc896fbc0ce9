"""A forkserver of somebody else's: behind a socket, in a process or container of its own."""

import asyncio
import socket
from pathlib import Path
from typing import Self

from libs.common.jail import sockets
from libs.common.jail.connection import Connection
from libs.common.jail.errors import JobServerLost

_READY_SECONDS = 30.0
_PATIENCE_SECONDS = 10.0
_RETRY_SECONDS = 0.05


class Remote(Connection):
    """The connection to a forkserver that listens in a jail."""

    pid: int | None = None
    """Whose process it is means nothing here."""

    @classmethod
    async def connect(cls, directory: Path, name: str) -> Self:
        """Connect to the warm parent `name`; one that is starting is waited for.

        Raises:
            JobServerLost: nobody was there, or warm, for ten seconds each.
        """
        deadline = asyncio.get_running_loop().time() + _PATIENCE_SECONDS
        while True:
            try:
                control = sockets.connect(directory, name)
            except OSError as error:
                if asyncio.get_running_loop().time() > deadline:
                    raise JobServerLost(f"the jail is away: {error}") from error
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                return await cls._warm(control)

    @classmethod
    async def _warm(cls, control: socket.socket) -> Self:
        connection = cls(control)
        try:
            await connection.ready(_READY_SECONDS)
        except BaseException:
            await connection.close()
            raise
        return connection

    async def close(self) -> None:
        """Hang up: what we had running there is killed."""
        self.lose("the job server was closed")
