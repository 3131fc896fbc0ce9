"""Tries on runs' records, in the database."""

from typing import Any
from uuid import UUID

from sqlalchemy import Column, DateTime, Table, Text, Uuid, select, update
from sqlalchemy.dialects.postgresql import JSONB, insert

from libs.common.database.transaction import Row, Transaction
from libs.common.definitions.tables import METADATA
from libs.common.errors import NotFound

rule_try = Table(
    "rule_try",
    METADATA,
    Column("tenant_id", Uuid, primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("run_id", Uuid),
    Column("phase", Text),
    Column("rules", JSONB),
    Column("status", Text),
    Column("dataset", JSONB),
    Column("result", JSONB),
    Column("code", Text),
    Column("message", Text),
    Column("created_by", Text),
    Column("created_at", DateTime(timezone=True)),
    Column("ended_at", DateTime(timezone=True)),
)
_T = rule_try.c


async def add(tx: Transaction, id_: UUID, run_id: UUID, phase: str, rules: list[Any]) -> None:
    """Add a try that is asked for."""
    common = {"created_by": tx.context.actor, "created_at": tx.context.now, "status": "asked"}
    await tx.execute(
        insert(rule_try).values(tenant_id=tx.tenant_id, id=id_, run_id=run_id, phase=phase, rules=rules, **common)
    )


async def find(tx: Transaction, id_: UUID) -> Row:
    """Return a try.

    Raises:
        NotFound: the tenant has none of that id.
    """
    row = await tx.row(select(rule_try).where(_T.id == id_))
    if row is None:
        raise NotFound("There is no such try.")
    return row


async def advance(tx: Transaction, id_: UUID, before: str, after: str, **values: Any) -> bool:
    """Bring a try from one status to the next; false where it is not, or no more, in the first."""
    statement = update(rule_try).where(_T.id == id_, _T.status == before).values(status=after, **values)
    return await tx.execute(statement) == 1
