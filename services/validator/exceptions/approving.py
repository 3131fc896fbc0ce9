"""Approving what others propose of many exceptions at once."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import any_, bindparam, select, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import Uuid

from libs.common.database.transaction import Row, Transaction
from libs.common.errors import Conflict
from libs.common.objects import Objects
from services.validator.exceptions import changing, decisions
from services.validator.exceptions.changing import Change
from services.validator.exceptions.decisions import ACTION_OF, STATUS_OF, Kind
from services.validator.exceptions.tables import decision
from services.validator.exceptions.working import Choice, announce, choose

_D = decision.c
_KINDS: tuple[Kind, ...] = ("amendment", "waiver")


async def approve_many(tx: Transaction, objects: Objects, choice: Choice, comment: str) -> Sequence[Row]:
    """Put what others proposed of a choice's exceptions into effect.

    Raises:
        Invalid, Conflict: see `choose`. Conflict: a proposal was decided or withdrawn in the meantime.
    """
    rows = await choose(tx, "approve", choice)
    if not rows:
        return rows
    proposed = {row["exception_id"]: row for row in await _approved(tx, [row["proposal_id"] for row in rows])}
    if len(proposed) != len(rows):
        raise Conflict("Somebody decides about these proposals; look again.", type="other-count")
    counts: dict[str, int] = {}
    for kind in _KINDS:
        some = [row for row in rows if proposed[row["id"]]["kind"] == kind]
        change = Change(ACTION_OF[kind], {"status": STATUS_OF[kind]}, comment)
        await changing.apply(tx, some, change, decisions.settling([row["proposal_id"] for row in some]))
        counts |= {STATUS_OF[kind]: len(some)} if some else {}
    for row in proposed.values():
        if row["kind"] == "amendment":
            await decisions.replace(tx, [other["id"] for other in await decisions.same_fields(tx, row)])
    await announce(tx, objects, "approve", choice, rows, Change("approved", counts, comment))
    return rows


async def _approved(tx: Transaction, ids: Sequence[UUID]) -> Sequence[Row]:
    """Put proposals into effect that are still proposals; returns them, held until we commit."""
    mine = (_D.id == any_(bindparam(None, list(ids), type_=ARRAY(Uuid))), _D.status == "proposed")
    rows = await tx.rows(select(decision).where(*mine).order_by(_D.id).with_for_update())
    approved = {"status": "active", "approved_by": tx.context.actor, "approved_at": tx.context.now}
    await tx.execute(update(decision).where(*mine).values(**approved, revision=_D.revision + 1))
    return rows
