"""What one request makes the service do: statements, password hashes and CPU seconds, which no busy machine stretches."""

import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import pytest
from argon2 import Parameters, extract_parameters

from libs.common.database.pool import Database
from services.auth import passwords

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ASYNCPGS_OWN = ("typeinfo_tree", "'jit'")  # what it asks once for each new connection
_CURRENT: ContextVar["Work | None"] = ContextVar("work", default=None)


@dataclass(slots=True)
class Work:
    """What was done for a request; `verified` are the parameters of hashes that passwords were held against."""

    statements: list[str] = field(default_factory=list)
    verified: list[Parameters] = field(default_factory=list)
    cpu_seconds: float = 0.0

    def add(self, statement: str) -> None:
        """Note a statement of ours, whosever ids it holds."""
        if not any(word in statement for word in _ASYNCPGS_OWN):
            self.statements.append(_UUID.sub("<id>", statement))


@contextmanager
def noted() -> Iterator[Work]:
    """Note what this task makes the service do; under `watching` only."""
    work, began = Work(), time.process_time()
    token = _CURRENT.set(work)
    yield work
    work.cpu_seconds = time.process_time() - began
    _CURRENT.reset(token)


@contextmanager
def watching() -> Iterator[None]:
    """Let `noted` see what is done; nothing is done otherwise than it would be."""
    connection, run = Database.connection, passwords.Passwords._run

    @asynccontextmanager
    async def watched(self: Database) -> AsyncIterator[Any]:
        async with connection(self) as lent:
            if (work := _CURRENT.get()) is None:
                yield lent
                return
            with lent.query_logger(lambda query: work.add(query.query)):
                yield lent

    async def running(self: passwords.Passwords, work: Callable[..., str], *arguments: str) -> str:
        if (done := _CURRENT.get()) and work is passwords._verify:
            done.verified.append(extract_parameters(arguments[0]))
        return await run(self, work, *arguments)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Database, "connection", watched)
        patched.setattr(passwords.Passwords, "_run", running)
        yield
