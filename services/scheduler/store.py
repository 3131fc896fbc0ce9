from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Column, Date, DateTime, Integer, Table, Text, Uuid, delete, select, update
from sqlalchemy.dialects.postgresql import JSONB, insert

from libs.common.database.transaction import Row, Transaction
from libs.common.definitions.tables import METADATA
from libs.common.errors import NotFound
from services.scheduler.domain.firing import Due

schedule = Table(
    "schedule",
    METADATA,
    Column("tenant_id", Uuid, primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("name", Text),
    Column("report_id", Uuid),
    Column("calendar_id", Uuid),
    Column("spec", JSONB),
    Column("status", Text),
    Column("revision", Integer),
    Column("next_run_at", DateTime(timezone=True)),
    Column("claimed_until", DateTime(timezone=True)),
    Column("created_at", DateTime(timezone=True)),
    Column("created_by", Text),
    Column("changed_at", DateTime(timezone=True)),
)
firing = Table(
    "firing",
    METADATA,
    Column("tenant_id", Uuid, primary_key=True),
    Column("schedule_id", Uuid, primary_key=True),
    Column("nominal_time", DateTime(timezone=True), primary_key=True),
    Column("id", Uuid),
    Column("business_date", Date),
    Column("outcome", Text),
    Column("reason", Text),
    Column("created_at", DateTime(timezone=True)),
)
_S = schedule.c
SHOWN = (
    _S.id,
    _S.name,
    _S.report_id,
    _S.spec,
    _S.status,
    _S.revision,
    _S.next_run_at,
    _S.created_at,
    _S.created_by,
    _S.changed_at,
)

# Claims what is due; other claimers pass over it. A claim that nobody finished is free again after a while.
_CLAIM = """
UPDATE schedule SET claimed_until = $1::timestamptz + $2::interval
WHERE (tenant_id, id) IN (
    SELECT tenant_id, id FROM schedule
    WHERE status = 'active' AND next_run_at <= $1 AND claimed_until < $1
    ORDER BY next_run_at LIMIT $3 FOR UPDATE SKIP LOCKED
) RETURNING tenant_id, id
"""


async def claim(connection: Any, now: datetime, life: timedelta, count: int) -> Sequence[Row]:
    """Claim due schedules of all tenants, as the claimer's role."""
    rows: Sequence[Row] = await connection.fetch(_CLAIM, now, life, count)
    return rows


async def lock(tx: Transaction, id_: UUID) -> Row:
    """Return a schedule, locked.

    Raises:
        NotFound: the tenant has none of that id.
    """
    row = await tx.row(select(schedule).where(_S.id == id_).with_for_update())
    if row is None:
        raise NotFound("There is no such schedule.")
    return row


async def find(tx: Transaction, id_: UUID) -> Row:
    """Return a schedule as it is shown.

    Raises:
        NotFound: the tenant has none of that id.
    """
    row = await tx.row(select(*SHOWN).where(_S.id == id_))
    if row is None:
        raise NotFound("There is no such schedule.")
    return row


async def add(tx: Transaction, **values: Any) -> None:
    """Add a schedule."""
    now = tx.context.now
    common = {"tenant_id": tx.tenant_id, "created_at": now, "created_by": tx.context.actor, "changed_at": now}
    await tx.execute(insert(schedule).values(**common, status="active", revision=1, **values))


async def change(tx: Transaction, id_: UUID, revision: int, **values: Any) -> None:
    """Change a schedule and give it its next revision."""
    changed = {"revision": revision + 1, "changed_at": tx.context.now, **values}
    await tx.execute(update(schedule).where(_S.id == id_).values(**changed))


async def advance(tx: Transaction, id_: UUID, next_run_at: datetime, released: datetime) -> None:
    """Move a schedule on; the claim is given back."""
    await tx.execute(update(schedule).where(_S.id == id_).values(next_run_at=next_run_at, claimed_until=released))


async def remove(tx: Transaction, id_: UUID) -> None:
    """Delete a schedule with its firings; their events stay."""
    await tx.execute(delete(schedule).where(_S.id == id_))


async def add_firing(tx: Transaction, schedule_id: UUID, firing_id: UUID, due: Due) -> bool:
    """Note a firing; false where it was noted before."""
    statement = insert(firing).values(
        tenant_id=tx.tenant_id,
        schedule_id=schedule_id,
        nominal_time=due.nominal,
        id=firing_id,
        business_date=due.business_date,
        outcome="missed" if due.missed else "fired",
        reason=due.missed or "",
        created_at=tx.context.now,
    )
    return bool(await tx.execute(statement.on_conflict_do_nothing()))
