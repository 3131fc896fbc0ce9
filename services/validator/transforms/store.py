from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Column, DateTime, Integer, Table, Text, Uuid, update
from sqlalchemy.dialects.postgresql import JSONB, insert

from libs.common.database.transaction import Row, Transaction
from libs.common.definitions.tables import METADATA

transform_job = Table(
    "transform_job",
    METADATA,
    Column("tenant_id", Uuid, primary_key=True),
    Column("request_id", Uuid, primary_key=True),
    Column("run_id", Uuid),
    Column("request", JSONB),
    Column("status", Text),
    Column("attempts", Integer),
    Column("leased_until", DateTime(timezone=True)),
    Column("traceparent", Text),
    Column("correlation_id", Text),
    Column("created_at", DateTime(timezone=True)),
    Column("ended_at", DateTime(timezone=True)),
)
_J = transform_job.c

# the first few of each tenant, so that one with many keeps nobody from being seen
_WAITING = """
SELECT tenant_id, request_id FROM (
  SELECT tenant_id, request_id, created_at,
         row_number() OVER (PARTITION BY tenant_id ORDER BY created_at, request_id) AS place
  FROM transform_job WHERE status = 'queued' AND leased_until < $1) AS open
WHERE place <= $2 ORDER BY place, created_at LIMIT 100
"""


async def waiting(connection: Any, now: datetime, each: int) -> Sequence[Row]:
    """Return queued jobs that nobody works on, `each` of every tenant, as the claimer's role."""
    rows: Sequence[Row] = await connection.fetch(_WAITING, now, each)
    return rows


async def add(tx: Transaction, request_id: UUID, run_id: UUID, request: dict[str, Any]) -> bool:
    """Queue a job, tied to what the transaction's context is tied to; false where it was queued before."""
    statement = insert(transform_job).values(
        tenant_id=tx.tenant_id,
        request_id=request_id,
        run_id=run_id,
        request=request,
        status="queued",
        traceparent=tx.context.traceparent,
        correlation_id=tx.context.correlation_id,
        created_at=tx.context.now,
    )
    return bool(await tx.execute(statement.on_conflict_do_nothing()))


async def claim(tx: Transaction, request_id: UUID, until: datetime) -> Row | None:
    """Take a queued job whose lease is over; None where there is nothing to take."""
    return await tx.row(
        update(transform_job)
        .where(_J.request_id == request_id, _J.status == "queued", _J.leased_until < tx.context.now)
        .values(leased_until=until, attempts=_J.attempts + 1)
        .returning(transform_job)
    )


async def extend(tx: Transaction, request_id: UUID, attempt: int, until: datetime) -> bool:
    """Keep a job for longer; false where another worker has it or it has ended."""
    mine = (_J.request_id == request_id) & (_J.status == "queued") & (_J.attempts == attempt)
    return bool(await tx.execute(update(transform_job).where(mine).values(leased_until=until)))


async def end(tx: Transaction, request_id: UUID, attempt: int, status: str) -> bool:
    """End a job; false where another worker has it or it has ended."""
    mine = (_J.request_id == request_id) & (_J.status == "queued") & (_J.attempts == attempt)
    values = {"status": status, "ended_at": tx.context.now}
    return bool(await tx.execute(update(transform_job).where(mine).values(values)))


async def cancel_of(tx: Transaction, run_id: UUID) -> int:
    """Cancel what a run still waits for; return how many jobs that were."""
    of_run = (_J.run_id == run_id) & (_J.status == "queued")
    values = {"status": "cancelled", "ended_at": tx.context.now}
    return await tx.execute(update(transform_job).where(of_run).values(values))
