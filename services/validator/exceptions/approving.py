"""Approving what others propose of many exceptions at once."""

from collections.abc import Sequence
from uuid import UUID

from libs.common.database.transaction import Row, Transaction
from libs.common.errors import Conflict
from libs.common.objects import Objects
from services.validator.exceptions import changing, decisions
from services.validator.exceptions.changing import Change
from services.validator.exceptions.decisions import ACTION_OF, STATUS_OF, Kind
from services.validator.exceptions.working import Choice, announce, choose

_KINDS: tuple[Kind, ...] = ("amendment", "waiver")
_APPROVE = """
UPDATE decision SET status = 'active', approved_by = $3, approved_at = $4, revision = revision + 1
WHERE tenant_id = $1 AND id = ANY($2) AND status = 'proposed' RETURNING exception_id, kind
"""


async def approve_many(tx: Transaction, objects: Objects, choice: Choice, comment: str) -> Sequence[Row]:
    """Put what others proposed of a choice's exceptions into effect.

    Raises:
        Invalid, Conflict: see `choose`. Conflict: a proposal was decided or withdrawn in the meantime.
    """
    rows = await choose(tx, "approve", choice)
    if not rows:
        return rows
    ids = [row["proposal_id"] for row in rows]
    kinds = await _approved(tx, ids)
    if len(kinds) != len(rows):
        raise Conflict("Somebody decides about these proposals; look again.", type="other-count")
    counts: dict[str, int] = {}
    for kind in _KINDS:
        some = [row for row in rows if kinds[row["id"]] == kind]
        change = Change(ACTION_OF[kind], {"status": STATUS_OF[kind]}, comment)
        await changing.apply(tx, some, change, decisions.settling([row["proposal_id"] for row in some]))
        counts |= {STATUS_OF[kind]: len(some)} if some else {}
    if "amended" in counts:
        await decisions.replace(tx, await decisions.overtaken(tx, ids))
    await announce(tx, objects, "approve", choice, rows, Change("approved", counts, comment))
    return rows


async def _approved(tx: Transaction, ids: Sequence[UUID]) -> dict[UUID, Kind]:
    """Put proposals into effect that are still proposals, of exceptions that the caller holds; returns their kinds by these."""
    approved = await tx.connection.fetch(_APPROVE, tx.tenant_id, ids, tx.context.actor, tx.context.now)
    return {row["exception_id"]: row["kind"] for row in approved}
