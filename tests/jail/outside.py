"""What lies outside of a jail in tests, and whether it was reached."""

import asyncio
import os
import secrets
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

OPEN = ("/tmp", "/dev/shm", "/var/tmp")  # noqa: S108 - where an escape could leave something


@dataclass(slots=True)
class Outside:
    """What escapes aim at: a listener, a process, sockets with and without a path, an input that must stay as it is."""

    place: Path
    facts: dict[str, Any]
    visited: list[int]
    letters: socket.socket

    def damage(self) -> list[str]:
        found = [f"visited on {self.facts['PORT']}"] if self.visited else []
        found += ["something was sent to a path"] if self._has_letters() else []
        found += [] if Path(f"/proc/{self.facts['VICTIM']}").exists() else ["the victim is dead"]
        found += [] if (self.place / "input").read_bytes() == b"input" else ["the input was changed"]
        marks = [place for place in OPEN if os.path.lexists(f"{place}/{self.facts['MARK']}")]
        return found + [f"something was left in {mark}" for mark in marks]

    def _has_letters(self) -> bool:
        try:
            return bool(self.letters.recv(1 << 16, socket.MSG_DONTWAIT))
        except BlockingIOError:
            return False


@asynccontextmanager
async def surroundings(place: Path) -> AsyncIterator[Outside]:
    """Yield what escapes aim at, with an input in `place`."""
    visited: list[int] = []

    def visit(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        visited.append(1)
        writer.close()

    name = f"escape-{secrets.token_hex(6)}"
    listener = await asyncio.start_server(visit, "127.0.0.1", 0)
    victim = await asyncio.create_subprocess_exec("sleep", "600")
    (place / "input").write_bytes(b"input")
    with socket.socket(socket.AF_UNIX) as abstract, _letter_box(name) as (letters, path):
        abstract.bind(f"\0{name}")
        abstract.listen()
        port = listener.sockets[0].getsockname()[1]
        facts = {"PORT": port, "VICTIM": victim.pid, "ABSTRACT": name, "MARK": name, "LETTERS": str(path)}
        yield Outside(place, facts, visited, letters)
    listener.close()
    victim.kill()
    await victim.wait()


@contextmanager
def _letter_box(name: str) -> Iterator[tuple[socket.socket, Path]]:
    """Yield a socket that takes datagrams at a path, as a system's log does."""
    path = Path(f"/tmp/{name}.letters")  # noqa: S108 - a socket's address is short
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as letters:
        letters.bind(str(path))
        path.chmod(0o666)
        try:
            yield letters, path
        finally:
            path.unlink()
