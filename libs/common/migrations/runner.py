"""Plain SQL migrations: table, policy and grants together; each file runs once, in a transaction of its own."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import asyncpg

_COMMON = Path(__file__).parent
_ROOT = _COMMON.parents[2]
_LEDGER = """
CREATE TABLE IF NOT EXISTS schema_migration (
    name text PRIMARY KEY, sha256 bytea NOT NULL, applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
)
"""
_LOCK_CLASS = 0x5247


class MigrationChangedError(Exception):
    """An applied migration's text is not what was applied."""


def service_folder(service: str) -> Path:
    """Return the service's folder."""
    return _ROOT / "services" / service


def migration_files(service: str) -> list[tuple[str, str]]:
    """Return name and SQL of the service's migrations, in order: the common ones first.

    A service names what else it shares in `migrations/shared.txt`, one path below `libs/common` a line.
    """
    folder = service_folder(service) / "migrations"
    shared = folder / "shared.txt"
    names = shared.read_text(encoding="utf-8").split() if shared.exists() else []
    files = [(f"common/{path.name}", path) for path in sorted(_COMMON.glob("*.sql"))]
    files += [(name, _COMMON.parent / name) for name in names]
    files += [(path.name, path) for path in sorted(folder.glob("*.sql"))]
    return [(name, path.read_text(encoding="utf-8").replace("{service}", service)) for name, path in files]


async def provision(admin_url: str, services: Iterable[str], passwords: Mapping[str, str]) -> None:
    """Create each service's roles and schema as its `roles.sql` says; set the roles' passwords. Runs again safely.

    `passwords` maps role names to passwords; a role that it does not name cannot log in.
    """
    connection: Any = await asyncpg.connect(admin_url)
    try:
        await connection.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
        for service in services:
            sql = (service_folder(service) / "roles.sql").read_text(encoding="utf-8")
            await connection.execute(sql)
        for role, password in passwords.items():
            statement = await connection.fetchval(
                "SELECT format('ALTER ROLE %I LOGIN PASSWORD %L', $1::text, $2::text)", role, password
            )
            await connection.execute(statement)
    finally:
        await connection.close()


async def migrate(owner_url: str, service: str) -> list[str]:
    """Bring the service's schema to head as its owner; return the names applied now.

    Raises:
        MigrationChangedError: a file that was applied before has another text now.
    """
    connection: Any = await asyncpg.connect(owner_url, server_settings={"search_path": service, "row_security": "off"})
    try:
        await connection.fetchval("SELECT pg_advisory_lock($1, hashtext($2))", _LOCK_CLASS, service)
        await connection.execute(_LEDGER)
        done = dict(await connection.fetch("SELECT name, sha256 FROM schema_migration"))
        return [name for name, sql in migration_files(service) if await _apply(connection, name, sql, done.get(name))]
    finally:
        await connection.close()


async def _apply(connection: Any, name: str, sql: str, applied: bytes | None) -> bool:
    digest = hashlib.sha256(sql.encode()).digest()
    if applied is not None:
        if applied != digest:
            raise MigrationChangedError(f"{name} was changed after it was applied; add a new migration instead")
        return False
    async with connection.transaction():
        await connection.execute(sql)
        await connection.execute("INSERT INTO schema_migration (name, sha256) VALUES ($1, $2)", name, digest)
    return True
