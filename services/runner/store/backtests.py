"""Drafts that are known here, backtests, and the past runs that they replay."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from libs.common.database.transaction import Row, Transaction
from libs.common.errors import NotFound
from services.runner.store.tables import backtest, known_draft, run, step

_B = backtest.c

# The reports that refer to a definition, or to a rule that does.
USERS = """
SELECT id FROM known_dependent WHERE tenant_id = $1 AND target_id = $2 AND kind = 'report' AND NOT archived
UNION
SELECT report.id FROM known_dependent AS rule
JOIN known_dependent AS report ON report.tenant_id = $1 AND report.target_id = rule.id AND report.kind = 'report'
WHERE rule.tenant_id = $1 AND rule.target_id = $2 AND rule.kind = 'rule' AND NOT rule.archived AND NOT report.archived
"""
# The newest runs that came to their end, each report's newest before any report's second.
PAST = """
SELECT past.* FROM unnest($2::uuid[]) AS wanted (report_id)
CROSS JOIN LATERAL (
    SELECT run.*, row_number() OVER (ORDER BY created_at DESC, id DESC) AS place FROM run
    WHERE tenant_id = $1 AND report_id = wanted.report_id AND kind = 'report' AND status IN ('succeeded', 'partial')
    ORDER BY created_at DESC, id DESC LIMIT $3
) AS past ORDER BY place, created_at DESC, id DESC LIMIT $3
"""


async def keep_draft(tx: Transaction, values: dict[str, Any]) -> None:
    """Learn a draft; an older revision than the known one is nothing new."""
    statement = upsert(known_draft).values(tenant_id=tx.tenant_id, **values)
    known = statement.on_conflict_do_update(
        index_elements=["tenant_id", "id"], set_=values, where=known_draft.c.revision <= values["revision"]
    )
    await tx.execute(known)


async def forget_draft(tx: Transaction, id_: UUID) -> None:
    """Learn that a definition has no draft any more."""
    await tx.execute(delete(known_draft).where(known_draft.c.id == id_))


async def find_draft(tx: Transaction, kind: str, id_: UUID) -> Row | None:
    """Return the draft of a definition as far as it is known here."""
    return await tx.row(select(known_draft).where(known_draft.c.id == id_, known_draft.c.kind == kind))


async def users_of(tx: Transaction, id_: UUID) -> list[UUID]:
    """Return the reports that use a definition, directly or by a rule."""
    return [row["id"] for row in await tx.connection.fetch(USERS, tx.tenant_id, id_)]


async def past_runs(tx: Transaction, reports: Sequence[UUID], count: int) -> Sequence[Row]:
    """Return the newest runs of reports that came to their end, at most `count`, the reports by turns."""
    rows: Sequence[Row] = await tx.connection.fetch(PAST, tx.tenant_id, list(reports), count)
    return rows


async def add(tx: Transaction, **values: Any) -> None:
    """Add a backtest that runs."""
    common = {"tenant_id": tx.tenant_id, "created_by": tx.context.actor, "created_at": tx.context.now}
    await tx.execute(insert(backtest).values(**common, status="running", failed=0, counts={}, **values))


async def find(tx: Transaction, id_: UUID, *, lock: bool = False) -> Row:
    """Return a backtest; `lock` holds it until we commit.

    Raises:
        NotFound: the tenant has none of that id.
    """
    statement = select(backtest).where(_B.id == id_)
    row = await tx.row(statement.with_for_update() if lock else statement)
    if row is None:
        raise NotFound("There is no such backtest.")
    return row


async def exists(tx: Transaction, id_: UUID) -> bool:
    """Say whether the tenant has a backtest of that id."""
    return await tx.value(select(_B.id).where(_B.id == id_)) is not None


async def complete(tx: Transaction, id_: UUID, failed: int, counts: dict[str, Any]) -> None:
    """End a backtest."""
    values = {"status": "completed", "ended_at": tx.context.now, "failed": failed, "counts": counts}
    await tx.execute(update(backtest).where(_B.id == id_).values(**values))


async def open_runs(tx: Transaction, id_: UUID) -> int:
    """Return how many runs of a backtest have not ended."""
    mine = (run.c.backtest_id == id_, run.c.ended_at.is_(None))
    found: int = await tx.value(select(func.count()).select_from(run).where(*mine))
    return found


async def replays(tx: Transaction, id_: UUID) -> Sequence[Row]:
    """Return a backtest's runs, in the order in which they were made, with what their comparison found."""
    compared = (step.c.run_id == run.c.id) & (step.c.step == "compare") & (step.c.tenant_id == run.c.tenant_id)
    columns = (run.c.id, run.c.parent_id, run.c.report_id, run.c.report_name, run.c.business_date, run.c.status,
               run.c.step, run.c.code, run.c.reason, step.c.facts, step.c.outputs)  # fmt: skip
    statement = select(*columns).select_from(run.outerjoin(step, compared)).where(run.c.backtest_id == id_)
    return await tx.rows(statement.order_by(run.c.created_at, run.c.id))
