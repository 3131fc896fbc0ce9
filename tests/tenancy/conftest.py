"""Databases that may be spoiled, and the administrator's connections of the architecture's walk."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from deploy.local.nats import Nats
from deploy.local.postgres import Postgres
from deploy.local.supervisor import Supervisor
from libs.common.migrations import migrate, provision
from tests.architecture.conftest import admin, undone  # noqa: F401 - fixtures
from tests.conftest import start_nats


@pytest.fixture(scope="session")
async def nats_server(supervisor: Supervisor, tmp_path_factory: pytest.TempPathFactory) -> Nats:
    """Return a NATS of these tests' own: they write what no service would."""
    return await start_nats(supervisor, tmp_path_factory, "nats-tenancy")


@dataclass(frozen=True, slots=True)
class Scratch:
    """A database of its own with one service's schema at head: URLs by role, an administrator's connection."""

    urls: Mapping[str, str]
    admin: Any


@pytest.fixture
async def scratch(databases: dict[str, str], postgres_server: Postgres) -> AsyncIterator[Scratch]:
    """Yield a database that may be spoiled, with the scheduler's schema at head."""
    name = f"tenancy_{uuid4().hex[:8]}"
    server = await asyncpg.connect(postgres_server.url())
    await server.execute(f"CREATE DATABASE {name}")
    await provision(postgres_server.url(database=name), ["scheduler"], {})
    urls = {role: url.replace("/regent?", f"/{name}?") for role, url in databases.items()}
    await migrate(urls["scheduler_owner"], "scheduler")
    connection = await asyncpg.connect(postgres_server.url(database=name))
    try:
        yield Scratch(urls, connection)
    finally:
        await connection.close()
        await server.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await server.close()
