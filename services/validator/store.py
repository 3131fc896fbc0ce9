from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Column, DateTime, Integer, Table, Text, Uuid, select, update
from sqlalchemy.dialects.postgresql import JSONB, insert

from libs.common.database.transaction import Row, Transaction
from libs.common.definitions.tables import METADATA

run_rules = Table(
    "run_rules",
    METADATA,
    Column("tenant_id", Uuid, primary_key=True),
    Column("run_id", Uuid, primary_key=True),
    Column("rules", JSONB),
    Column("mappings", JSONB),
    Column("created_at", DateTime(timezone=True)),
)
job = Table(
    "job",
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
    Column("task", Text),
    Column("created_at", DateTime(timezone=True)),
    Column("ended_at", DateTime(timezone=True)),
)

_ABANDONED = """
SELECT tenant_id, request_id FROM job WHERE status = 'queued' AND leased_until < $1 ORDER BY leased_until LIMIT $2
"""
_ADD = """
INSERT INTO job (tenant_id, request_id, run_id, request, task, status, traceparent, correlation_id, created_at)
SELECT $1, $2, $3, $4, $5, 'queued', $6, $7, $8
WHERE $5 <> 'validate' OR NOT EXISTS (SELECT FROM lost_run WHERE tenant_id = $1 AND run_id = $3)
ON CONFLICT DO NOTHING
"""
_LOSE = """
INSERT INTO lost_run (tenant_id, run_id, cancelled, why, lost_at) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING
"""
_LOSING = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))"
_REOPENING = "SELECT pg_advisory_xact_lock_shared(hashtextextended($1, 0))"


async def abandoned(connection: Any, now: datetime, count: int) -> Sequence[Row]:
    """Return queued jobs of all tenants that nobody works on, as the claimer's role."""
    rows: Sequence[Row] = await connection.fetch(_ABANDONED, now, count)
    return rows


async def add_job(
    tx: Transaction, request_id: UUID, run_id: UUID, request: dict[str, Any], task: str = "validate"
) -> bool:
    """Queue a job, tied to what the transaction's context is tied to.

    False where it was queued before, or is a validation for a run that is lost.
    """
    context = tx.context
    tied = (context.traceparent, context.correlation_id, context.now)
    status: str = await tx.connection.execute(_ADD, tx.tenant_id, request_id, run_id, request, task, *tied)
    return status.endswith(" 1")


async def hold_for_losing(tx: Transaction) -> None:
    """Wait for who opens exceptions of the tenant's again, and keep others from it until we commit.

    Who looks which exceptions a lost run leaves sees then all that there are. It comes before anything else is held.
    """
    await tx.connection.execute(_LOSING, f"losses:{tx.tenant_id}")


async def hold_for_reopening(tx: Transaction) -> None:
    """Wait for who loses a run of the tenant's, and keep others from it until we commit.

    Who opens exceptions again sees then whether their run is lost. It comes before anything else is held.
    """
    await tx.connection.execute(_REOPENING, f"losses:{tx.tenant_id}")


async def lose_run(tx: Transaction, run_id: UUID, why: str, *, cancelled: bool) -> None:
    """Remember that a run failed or was cancelled; what was told first stays."""
    await tx.connection.execute(_LOSE, tx.tenant_id, run_id, cancelled, why, tx.context.now)


async def claim_job(tx: Transaction, request_id: UUID, until: datetime) -> Row | None:
    """Take a queued job whose lease is over; None where there is nothing to take."""
    columns = job.c
    return await tx.row(
        update(job)
        .where(columns.request_id == request_id, columns.status == "queued", columns.leased_until < tx.context.now)
        .values(leased_until=until, attempts=columns.attempts + 1)
        .returning(job)
    )


async def extend_lease(tx: Transaction, request_id: UUID, attempt: int, until: datetime) -> bool:
    """Keep a job for longer; false where another worker has it."""
    columns = job.c
    mine = (columns.request_id == request_id) & (columns.status == "queued") & (columns.attempts == attempt)
    return bool(await tx.execute(update(job).where(mine).values(leased_until=until)))


async def holds_job(tx: Transaction, request_id: UUID, attempt: int) -> bool:
    """Say whether a job is still ours; it stays so until we commit."""
    columns = job.c
    mine = (columns.request_id == request_id, columns.status == "queued", columns.attempts == attempt)
    return await tx.value(select(columns.attempts).where(*mine).with_for_update(read=True)) is not None


async def end_job(tx: Transaction, request_id: UUID, attempt: int, status: str) -> bool:
    """End a job; false where another worker has it or it has ended."""
    columns = job.c
    mine = (columns.request_id == request_id) & (columns.status == "queued") & (columns.attempts == attempt)
    return bool(await tx.execute(update(job).where(mine).values(status=status, ended_at=tx.context.now)))


async def find_run_rules(tx: Transaction, run_id: UUID) -> Row | None:
    """Return the rules that a run uses."""
    return await tx.row(select(run_rules).where(run_rules.c.run_id == run_id))


async def keep_run_rules(tx: Transaction, run_id: UUID, rules: list[Any], mappings: list[Any]) -> None:
    """Keep the rules that a run uses; what was kept first stays."""
    values = {"rules": rules, "mappings": mappings, "created_at": tx.context.now}
    statement = insert(run_rules).values(tenant_id=tx.tenant_id, run_id=run_id, **values)
    await tx.execute(statement.on_conflict_do_nothing())
