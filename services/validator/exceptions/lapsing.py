"""Waivers whose last day is past: what nobody approved is withdrawn, what held until then has expired."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select

from libs.common.context import Context
from libs.common.database.pool import Database
from libs.common.database.transaction import Row, Transaction
from services.validator.exceptions import decisions
from services.validator.exceptions.tables import decision

_D = decision.c
_LAPSED = """
SELECT tenant_id, id FROM decision WHERE status IN ('proposed', 'active') AND expires_on < $1 ORDER BY expires_on LIMIT $2
"""
_MOST = 100
_WHY = "Its last day passed before anybody approved it."
_OVER = "Its last day is past."


async def end_lapsed(claimer: Database, database: Database, now: datetime) -> None:
    """End some waivers whose last day is past; the claimer's role sees those of all tenants.

    Raises:
        PreconditionFailed, Conflict: see `lapse`; the rest waits for the next call.
    """
    async with claimer.connection() as connection:
        rows = await lapsed(connection, now.date(), _MOST)
    for row in rows:
        async with database.transaction(Context(row["tenant_id"], "service:validator", now)) as tx:
            await lapse(tx, row["id"])


async def lapsed(connection: Any, today: date, count: int) -> Sequence[Row]:
    """Return waivers of all tenants, proposed or in force, whose last day is past, as the claimer's role."""
    rows: Sequence[Row] = await connection.fetch(_LAPSED, today, count)
    return rows


async def lapse(tx: Transaction, id_: UUID) -> None:
    """End such a waiver, if it still is one; the exceptions that it settled stay so, a later failure opens its own.

    Raises:
        PreconditionFailed, Conflict: somebody decides about it now.
    """
    row = await tx.row(select(_D.kind, _D.revision, _D.status).where(_D.id == id_))
    if row is None or row["status"] not in ("proposed", "active"):
        return
    if row["status"] == "proposed":
        await decisions.withdraw(tx, row["kind"], id_, row["revision"], _WHY)
        return
    held = await decisions.lock(tx, row["kind"], id_, row["revision"])
    await decisions.end_decision(tx, held, "waiver.expired", "expired", _OVER)
