"""What lies outside of a jail in tests, and whether it was reached."""

import asyncio
import os
import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

OPEN = ("/tmp", "/dev/shm", "/var/tmp")  # noqa: S108 - where an escape could leave something


@dataclass(slots=True)
class Outside:
    """What escapes aim at: a listener, a process, an abstract socket, an input that must stay as it is."""

    place: Path
    facts: dict[str, Any]
    visited: list[int]

    def damage(self) -> list[str]:
        found = [f"visited on {self.facts['PORT']}"] if self.visited else []
        found += [] if Path(f"/proc/{self.facts['VICTIM']}").exists() else ["the victim is dead"]
        found += [] if (self.place / "input").read_bytes() == b"input" else ["the input was changed"]
        marks = [place for place in OPEN if os.path.lexists(f"{place}/{self.facts['MARK']}")]
        return found + [f"something was left in {mark}" for mark in marks]


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
    with socket.socket(socket.AF_UNIX) as abstract:
        abstract.bind(f"\0{name}")
        abstract.listen()
        port = listener.sockets[0].getsockname()[1]
        facts = {"PORT": port, "VICTIM": victim.pid, "ABSTRACT": name, "MARK": name}
        yield Outside(place, facts, visited)
    listener.close()
    victim.kill()
    await victim.wait()
