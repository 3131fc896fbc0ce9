"""Transactions, their outbox and the definitions on top of them, against a real PostgreSQL."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from pathlib import Path
from uuid import uuid4

import asyncpg
import orjson
import pytest
from pydantic import TypeAdapter
from sqlalchemy import select

from libs.common.context import Context
from libs.common.database.pool import Database
from libs.common.definitions.commands import Definitions
from libs.common.definitions.copies import SealedReader
from libs.common.definitions.kinds import Kind
from libs.common.definitions.tables import definition
from libs.common.errors import Conflict, Invalid, NotFound, PreconditionFailed
from libs.common.events.definitions import DefinitionArchived
from libs.common.objects import Objects
from libs.common.vocabulary.schemas import SchemaSpec

SCHEMA = Kind("schema", "schemas", TypeAdapter(SchemaSpec))
SPEC = {"fields": [{"name": "price", "type": "decimal"}]}
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
async def database(databases: dict[str, str]) -> AsyncIterator[Database]:
    async with Database.open(databases["catalog_server"], service="catalog", size=4) as opened:
        yield opened


@pytest.fixture
def definitions(tmp_path: Path) -> Definitions:
    objects = Objects(f"file://{tmp_path}")
    return Definitions({"schema": SCHEMA}, objects, SealedReader(objects))


@pytest.fixture
def context() -> Context:
    return Context(uuid4(), "user:1", NOW)


async def outbox(databases: dict[str, str], context: Context) -> list[dict[str, object]]:
    connection = await asyncpg.connect(databases["catalog_relay"], server_settings={"search_path": "catalog"})
    rows = await connection.fetch("SELECT body FROM outbox WHERE tenant_id = $1 ORDER BY position", context.tenant_id)
    await connection.close()
    return [orjson.loads(row["body"]) for row in rows]


async def test_a_change_and_its_event_commit_together(
    database: Database, definitions: Definitions, context: Context, databases: dict[str, str]
) -> None:
    """A definition's life announces itself with gap-free sequences (S39)."""
    async with database.transaction(context) as tx:
        id_ = await definitions.create(tx, SCHEMA, "trades", SPEC)
        await definitions.edit(tx, SCHEMA, id_, 1, "trades", SPEC)
        await definitions.publish(tx, SCHEMA, id_, date(2026, 1, 1))
    events = await outbox(databases, context)
    assert [event["type"] for event in events] == [
        f"catalog.schema.{verb}.v1" for verb in ("created", "updated", "published")
    ]
    assert [event["sequence"] for event in events] == [1, 2, 3]
    assert {event["tenantid"] for event in events} == {str(context.tenant_id)}


async def test_a_rolled_back_change_announces_nothing(
    database: Database, context: Context, databases: dict[str, str]
) -> None:
    """An exception leaves neither row nor event (S39)."""

    async def interrupted() -> None:
        async with database.transaction(context) as tx:
            await tx.emit("schema.archived", DefinitionArchived(kind="schema", id=uuid4(), name="x"), entity=uuid4())
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await interrupted()
    assert await outbox(databases, context) == []


async def test_another_tenant_finds_nothing(database: Database, definitions: Definitions, context: Context) -> None:
    """Row-level security answers for us (S37)."""
    async with database.transaction(context) as tx:
        id_ = await definitions.create(tx, SCHEMA, "trades", SPEC)
    async with database.transaction(Context(uuid4(), "user:2", NOW)) as tx:
        assert await tx.rows(select(definition)) == []
        with pytest.raises(NotFound):
            await definitions.publish(tx, SCHEMA, id_, None)


async def test_a_stale_edit_is_refused(database: Database, definitions: Definitions, context: Context) -> None:
    """If-Match protects from lost updates."""
    async with database.transaction(context) as tx:
        id_ = await definitions.create(tx, SCHEMA, "trades", SPEC)
        with pytest.raises(PreconditionFailed):
            await definitions.edit(tx, SCHEMA, id_, 7, "trades", SPEC)


async def test_what_was_published_is_never_deleted(
    database: Database, definitions: Definitions, context: Context
) -> None:
    """DELETE of a published definition is a conflict (S4)."""
    async with database.transaction(context) as tx:
        id_ = await definitions.create(tx, SCHEMA, "trades", SPEC)
        await definitions.publish(tx, SCHEMA, id_, None)
        with pytest.raises(Conflict):
            await definitions.delete(tx, SCHEMA, id_)


async def test_a_wrong_specification_names_the_field(
    database: Database, definitions: Definitions, context: Context
) -> None:
    """The problem carries a JSON pointer (S27)."""
    async with database.transaction(context) as tx:
        with pytest.raises(Invalid) as refusal:
            await definitions.create(tx, SCHEMA, "trades", {"fields": [{"name": "Price", "type": "decimal"}]})
    assert refusal.value.fields[0].field == "/spec/fields/0/name"
