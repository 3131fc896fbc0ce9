"""Real servers for every test that wants one: a PostgreSQL and a NATS per test process."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from deploy.local import nats, postgres
from deploy.local.processes import free_port
from deploy.local.supervisor import Supervisor


def _silent(_name: str, _line: str) -> None:
    """Servers under test keep their logs to themselves; a failed start carries its last lines."""


@pytest.fixture(scope="session")
async def supervisor() -> AsyncIterator[Supervisor]:
    """Yield the supervisor that stops the session's servers."""
    async with Supervisor(_silent) as running:
        yield running


@pytest.fixture(scope="session")
async def postgres_server(supervisor: Supervisor, tmp_path_factory: pytest.TempPathFactory) -> postgres.Postgres:
    """Return a running PostgreSQL with its socket and loopback TCP: `url()`, `tcp_url()`."""
    server = await postgres.prepare(_private(tmp_path_factory, "postgres"), port=free_port())
    await supervisor.start(server.program())
    return server


@pytest.fixture(scope="session")
async def nats_server(supervisor: Supervisor, tmp_path_factory: pytest.TempPathFactory) -> nats.Nats:
    """Return a running NATS with accounts, streams and durables: `url`, `seeds["runner"]`, `connect("runner")`."""
    home = _private(tmp_path_factory, "nats")
    server = nats.prepare(home, home / "secrets", free_port())
    await supervisor.start(server.program())
    await server.provision()
    return server


def _private(factory: pytest.TempPathFactory, name: str) -> Path:
    return factory.mktemp(name)
