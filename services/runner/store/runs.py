"""Runs in the database."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Text, any_, bindparam, insert, select, update
from sqlalchemy.dialects.postgresql import ARRAY

from libs.common.database.transaction import Row, Transaction
from libs.common.errors import NotFound
from services.runner.store.tables import run, step

_R = run.c
_ENDED_WELL = ["succeeded", "partial"]


async def add(tx: Transaction, **values: Any) -> bool:
    """Add a run; return whether it was new."""
    statement = insert(run).values(tenant_id=tx.tenant_id, **values)
    return await tx.execute(statement) == 1


async def find(tx: Transaction, run_id: UUID) -> Row:
    """Return a run.

    Raises:
        NotFound: the tenant has no such run.
    """
    return _one(await tx.row(select(run).where(_R.id == run_id)))


async def lock(tx: Transaction, run_id: UUID) -> Row:
    """Return a run, held against other changes until we commit.

    Raises:
        NotFound: the tenant has no such run.
    """
    return _one(await tx.row(select(run).where(_R.id == run_id).with_for_update()))


def _one(row: Row | None) -> Row:
    if row is None:
        raise NotFound("There is no such run.")
    return row


async def exists(tx: Transaction, run_id: UUID) -> bool:
    """Say whether the tenant has a run of that id."""
    return await tx.value(select(_R.id).where(_R.id == run_id)) is not None


async def change(tx: Transaction, seen: Row, /, **values: Any) -> bool:
    """Change a run if it still has the status and the fence that it was seen with; return whether it had."""
    same = (_R.id == seen["id"], _R.status == seen["status"], _R.fence == seen["fence"])
    return await tx.execute(update(run).where(*same).values(**values)) == 1


async def unended(tx: Transaction, status: str | None = None) -> Sequence[UUID]:
    """Return the ids of the tenant's runs that have not ended, or of those in one status."""
    statement = select(_R.id).where(_R.lease_until.is_not(None))
    rows = await tx.rows(statement.where(_R.status == status) if status else statement)
    return [row["id"] for row in rows]


async def last_ended(tx: Transaction, report_id: UUID, business_date: Any, *, well: bool) -> Row | None:
    """Return the newest ended run of a report for a date, no trial; `well` asks for one that came to its end."""
    columns = _R
    statement = select(run).where(
        columns.report_id == report_id,
        columns.business_date == business_date,
        columns.kind == "report",
        columns.ended_at.is_not(None),
    )
    if well:
        statement = statement.where(columns.status == _any(_ENDED_WELL))
    return await tx.row(statement.order_by(columns.created_at.desc(), columns.id.desc()).limit(1))


async def previous_extract(
    tx: Transaction, report_id: UUID, business_date: Any, at: datetime | None = None
) -> Any | None:
    """Return the sealed extract of the report's last run for an earlier date that came to its end (by `at`), or None."""
    columns = _R
    by_then = () if at is None else (columns.ended_at <= at,)
    sealed = step.c.outputs["extract"]
    statement = (
        select(sealed.label("extract"))
        .join(step, (step.c.tenant_id == columns.tenant_id) & (step.c.run_id == columns.id))
        .where(
            columns.report_id == report_id,
            columns.business_date < business_date,
            columns.kind == "report",
            columns.status == _any(_ENDED_WELL),
            step.c.step == "extract",
            *by_then,
        )
        .order_by(columns.business_date.desc(), columns.created_at.desc(), columns.id.desc())
        .limit(1)
    )
    row = await tx.row(statement)
    return row["extract"] if row else None


async def corrections(tx: Transaction, run_id: UUID) -> Sequence[Row]:
    """Return the newest fifty corrections of a run that came to their end, the oldest first."""
    mine = (_R.parent_id == run_id, _R.kind == "correction", _R.status == _any(_ENDED_WELL))
    newest = select(run).where(*mine).order_by(_R.created_at.desc(), _R.id.desc()).limit(50)
    return list(reversed(await tx.rows(newest)))


def _any(values: list[str]) -> Any:
    return any_(bindparam(None, values, type_=ARRAY(Text)))


async def children(tx: Transaction, run_id: UUID) -> Sequence[UUID]:
    """Return the ids of the reruns and corrections of a run, oldest first."""
    mine = (_R.parent_id == run_id, _R.kind == _any(["report", "correction"]))
    rows = await tx.rows(select(_R.id).where(*mine).order_by(_R.created_at, _R.id))
    return [row["id"] for row in rows]
