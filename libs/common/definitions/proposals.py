"""Proposals in the database."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, case, insert, select, update

from libs.common.database.transaction import Row, Transaction
from libs.common.definitions.tables import proposal
from libs.common.errors import NotFound

_P = proposal.c
OPEN = ("awaiting_backtest", "proposed")
_HIDDEN = ("tenant_id", "kind", "object_key", "size", "status")
SHOWN = tuple(column for column in _P if column.name not in _HIDDEN)


async def add(tx: Transaction, **values: Any) -> None:
    """Add a proposal."""
    await tx.execute(insert(proposal).values(tenant_id=tx.tenant_id, proposed_at=tx.context.now, **values))


async def open_of(tx: Transaction, definition_id: UUID) -> Row | None:
    """Return what is proposed of a definition and not decided, locked."""
    undecided = (_P.definition_id == definition_id, _P.decided_at.is_(None))
    return await tx.row(select(proposal).where(*undecided).with_for_update())


async def lock(tx: Transaction, id_: UUID) -> Row | None:
    """Return a proposal, locked, or None."""
    return await tx.row(select(proposal).where(_P.id == id_).with_for_update())


async def find(tx: Transaction, id_: UUID) -> Row:
    """Return a proposal.

    Raises:
        NotFound: there is none of that id.
    """
    row = await tx.row(select(proposal).where(_P.id == id_))
    if row is None:
        raise NotFound("There is no such proposal.")
    return row


async def of(tx: Transaction, definition_id: UUID, *, most: int) -> Sequence[Row]:
    """Return the newest proposals of a definition, as they are shown: one that is too old to be decided has expired."""
    too_old = _P.decided_at.is_(None) & (_P.expires_at <= tx.context.now)
    status = case((too_old, "expired"), else_=_P.status).label("status")
    statement = select(*SHOWN, status).where(_P.definition_id == definition_id)
    return await tx.rows(statement.order_by(_P.proposed_at.desc(), _P.id.desc()).limit(most))


async def change(tx: Transaction, id_: UUID, **values: Any) -> None:
    """Change a proposal."""
    await tx.execute(update(proposal).where(_P.id == id_).values(**values))


def waiting(status: str, now: datetime) -> Select[Any]:
    """Return the query of the definitions whose proposal is in an open status, and can still be decided."""
    return select(_P.definition_id).where(_P.status == status, _P.decided_at.is_(None), _P.expires_at > now)
