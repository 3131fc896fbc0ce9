from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Column, Date, DateTime, Integer, Table, Text, Uuid, select, update
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
    Column("created_at", DateTime(timezone=True)),
    Column("ended_at", DateTime(timezone=True)),
)
exception = Table(
    "exception",
    METADATA,
    Column("tenant_id", Uuid, primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("run_id", Uuid),
    Column("report_id", Uuid),
    Column("business_date", Date),
    Column("phase", Text),
    Column("ordinal", BigInteger),
    Column("key", Text),
    Column("rule_id", Text),
    Column("rule_version", Integer),
    Column("rule_name", Text),
    Column("outcome", Text),
    Column("fields", JSONB),
    Column("message", Text),
    Column("status", Text),
    Column("opened_at", DateTime(timezone=True)),
)

_ABANDONED = """
SELECT tenant_id, request_id FROM job WHERE status = 'queued' AND leased_until < $1 ORDER BY leased_until LIMIT $2
"""
_OPEN = """
INSERT INTO exception (tenant_id, run_id, report_id, business_date, phase, ordinal, key, rule_id, rule_version,
                       rule_name, outcome, fields, message, opened_at)
SELECT $1, $2, $3, $4, $5, u.ordinal, u.key, u.rule_id, u.rule_version, u.rule_name, u.outcome, u.fields::jsonb,
       u.message, $6
FROM unnest($7::bigint[], $8::text[], $9::text[], $10::int[], $11::text[], $12::text[], $13::text[], $14::text[])
     AS u (ordinal, key, rule_id, rule_version, rule_name, outcome, fields, message)
ON CONFLICT DO NOTHING
"""
# Counts by rule, and the first few records of each as samples.
_GROUPS = """
SELECT rule_id, rule_name, max(rule_version) AS rule_version, phase, count(*) AS records, min(opened_at) AS oldest,
       (SELECT jsonb_agg(s) FROM (
            SELECT e.id, e.key, e.ordinal, e.fields, e.message FROM exception e
            WHERE e.tenant_id = $1 AND e.run_id = $2 AND e.rule_id = g.rule_id ORDER BY e.id LIMIT $3) s) AS samples
FROM exception g WHERE tenant_id = $1 AND run_id = $2
GROUP BY rule_id, rule_name, phase ORDER BY records DESC, rule_name
"""


async def abandoned(connection: Any, now: datetime, count: int) -> Sequence[Row]:
    """Return queued jobs of all tenants that nobody works on, as the claimer's role."""
    rows: Sequence[Row] = await connection.fetch(_ABANDONED, now, count)
    return rows


async def add_job(tx: Transaction, request_id: UUID, run_id: UUID, request: dict[str, Any]) -> bool:
    """Queue a job, tied to what the transaction's context is tied to; false where it was queued before."""
    statement = insert(job).values(
        tenant_id=tx.tenant_id,
        request_id=request_id,
        run_id=run_id,
        request=request,
        status="queued",
        attempts=0,
        traceparent=tx.context.traceparent,
        correlation_id=tx.context.correlation_id,
        created_at=tx.context.now,
    )
    return bool(await tx.execute(statement.on_conflict_do_nothing()))


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


async def open_exceptions(tx: Transaction, common: tuple[Any, ...], columns: Sequence[Sequence[Any]]) -> None:
    """Open exceptions, column by column; those that are open already stay."""
    await tx.connection.execute(_OPEN, tx.tenant_id, *common, tx.context.now, *columns)


async def exception_groups(tx: Transaction, run_id: UUID, samples: int) -> Sequence[Row]:
    """Return a run's exceptions by rule, the most first."""
    rows: Sequence[Row] = await tx.connection.fetch(_GROUPS, tx.tenant_id, run_id, samples)
    return rows
