"""Proposals that nobody approved until their last day: they are over, and their exceptions can be decided about again."""

from collections.abc import Sequence
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import select

from libs.common.database.transaction import Row, Transaction
from services.validator.exceptions import decisions
from services.validator.exceptions.tables import decision

_D = decision.c
_LAPSED = """
SELECT tenant_id, id FROM decision WHERE status = 'proposed' AND expires_on < $1 ORDER BY expires_on LIMIT $2
"""
_WHY = "Its last day passed before anybody approved it."


async def lapsed(connection: Any, today: date, count: int) -> Sequence[Row]:
    """Return proposals of all tenants whose last day is past, as the claimer's role."""
    rows: Sequence[Row] = await connection.fetch(_LAPSED, today, count)
    return rows


async def lapse(tx: Transaction, id_: UUID) -> None:
    """End such a proposal, if it is still one.

    Raises:
        PreconditionFailed, Conflict: somebody decides about it now.
    """
    row = await tx.row(select(_D.kind, _D.revision).where(_D.id == id_, _D.status == "proposed"))
    if row is not None:
        await decisions.withdraw(tx, row["kind"], id_, row["revision"], _WHY)
