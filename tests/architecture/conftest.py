from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from deploy.local.database import DATABASE
from deploy.local.postgres import Postgres


@pytest.fixture
async def admin(postgres_server: Postgres, databases: dict[str, str]) -> AsyncIterator[Any]:
    """Yield an administrator's connection to the database where all schemas are at head."""
    connection = await asyncpg.connect(postgres_server.url(database=DATABASE))
    try:
        yield connection
    finally:
        await connection.close()


@pytest.fixture
async def undone(admin: Any) -> AsyncIterator[Any]:
    """Yield an administrator's connection in a transaction that is rolled back: nothing that a test does stays."""
    transaction = admin.transaction()
    await transaction.start()
    try:
        yield admin
    finally:
        await transaction.rollback()
