"""One database, six schemas: roles, passwords and migrations before any service starts."""

import asyncio
from collections.abc import Mapping, Sequence

import asyncpg

from deploy.local.postgres import Postgres
from libs.common.database.guard import declared_exceptions
from libs.common.migrations import migrate, provision, service_folder

DATABASE = "regent"


def roles(service: str) -> tuple[str, ...]:
    """Return the service's roles: owner, server and the workers that its roles.sql names."""
    workers = declared_exceptions(service_folder(service) / "roles.sql").workers
    return tuple(dict.fromkeys((f"{service}_owner", f"{service}_server", *(role for role, _, _ in workers))))


async def prepare(server: Postgres, services: Sequence[str], passwords: Mapping[str, str]) -> None:
    """Bring the database to where the services may start; doing it again changes nothing."""
    await _create(server)
    admin = server.url(database=DATABASE)
    await provision(admin, services, passwords)
    await _close_to_others(admin, list(passwords))
    owners = {service: f"{service}_owner" for service in services}
    urls = {service: server.url(owner, passwords[owner], DATABASE) for service, owner in owners.items()}
    await asyncio.gather(*(migrate(url, service) for service, url in urls.items()))


async def _create(server: Postgres) -> None:
    connection = await asyncpg.connect(server.url())
    try:
        if not await connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", DATABASE):
            await connection.execute(f'CREATE DATABASE "{DATABASE}"')
    finally:
        await connection.close()


async def _close_to_others(admin: str, allowed: Sequence[str]) -> None:
    """Let only the named roles connect."""
    connection = await asyncpg.connect(admin)
    try:
        await connection.execute(f'REVOKE ALL ON DATABASE "{DATABASE}" FROM PUBLIC')
        for role in allowed:
            grant = "SELECT format('GRANT CONNECT ON DATABASE %I TO %I', $1::text, $2::text)"
            await connection.execute(await connection.fetchval(grant, DATABASE, role))
    finally:
        await connection.close()
