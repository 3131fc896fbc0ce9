"""A database, a bus and an object store of its own for every test that tampers with them."""

import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from deploy.local import nats, postgres
from deploy.local.processes import free_port
from deploy.local.supervisor import Supervisor
from libs.common.crypto.keyring import KeyRing
from libs.common.migrations import migrate, provision
from tests.audit.world import RING_TEXT, Store

NUMBERS = itertools.count(1)


async def execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(statement)
    await connection.close()


@pytest.fixture(scope="session")
async def audit_template(databases: dict[str, str], postgres_server: postgres.Postgres) -> str:
    """Return the name of a database with the audit schema at head and nothing in it."""
    name = "audit_template"
    await execute(postgres_server.url(), f"CREATE DATABASE {name}")
    await provision(postgres_server.url(database=name), ["audit"], {})
    await migrate(databases["audit_owner"].replace("/regent?", f"/{name}?"), "audit")
    return name


@pytest.fixture
async def audit(
    audit_template: str, databases: dict[str, str], postgres_server: postgres.Postgres, tmp_path: Path
) -> AsyncIterator[Store]:
    """Return a fresh audit database with its roles, the schema at head."""
    name = f"audit_{next(NUMBERS)}"
    await execute(postgres_server.url(), f"CREATE DATABASE {name} TEMPLATE {audit_template}")
    urls = {role: url.replace("/regent?", f"/{name}?") for role, url in databases.items() if role.startswith("audit_")}
    yield Store(postgres_server.url(database=name), urls, (tmp_path / "objects").as_uri(), KeyRing.parse(RING_TEXT))
    await execute(postgres_server.url(), f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def bus(supervisor: Supervisor, tmp_path: Path) -> AsyncIterator[nats.Nats]:
    """Return a NATS of its own, its stream empty."""
    server = nats.prepare(tmp_path / "nats", tmp_path / "secrets", free_port())
    program = server.program(f"nats-{next(NUMBERS)}")
    await supervisor.start(program)
    await server.provision()
    yield server
    await supervisor.child(program.name).stop()
