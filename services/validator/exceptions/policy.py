"""How a tenant wants its exceptions handled: whether a second person decides, and until when."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from libs.common.database.transaction import Row, Transaction
from libs.common.errors import PreconditionFailed
from libs.common.events.exceptions import ExceptionPolicyChanged
from libs.common.http.door import require_revision
from services.validator.exceptions.tables import policy

_C = policy.c


@dataclass(frozen=True, slots=True)
class Policy:
    """A tenant's choice; what stands here is what holds until it chooses."""

    second_person: bool = False
    due_hours: int = 24
    revision: int = 0


async def policy_of(tx: Transaction) -> Policy:
    """Return the tenant's policy."""
    row = await tx.row(select(_C.second_person, _C.due_hours, _C.revision))
    return Policy(**dict(row)) if row else Policy()


async def due_of(tx: Transaction) -> datetime:
    """Return until when what is opened now shall be settled."""
    return tx.context.now + timedelta(hours=(await policy_of(tx)).due_hours)


async def set_policy(tx: Transaction, wanted: Policy) -> Policy:
    """Change the policy, from the revision that it was read in; what is open keeps its due time.

    Raises:
        PreconditionFailed: it changed since it was read.
    """
    current = await _locked(tx)
    require_revision(wanted.revision, current["revision"] if current else 0)
    values = {
        "second_person": wanted.second_person,
        "due_hours": wanted.due_hours,
        "revision": wanted.revision + 1,
        "changed_by": tx.context.actor,
        "changed_at": tx.context.now,
    }
    statement = insert(policy).values(tenant_id=tx.tenant_id, **values)
    changed = statement.on_conflict_do_update(
        index_elements=["tenant_id"], set_=values, where=_C.revision == wanted.revision
    )
    if not await tx.execute(changed):  # somebody else made the first one
        raise PreconditionFailed("It changed in the meantime; read it again.")
    before = Policy(current["second_person"], current["due_hours"]) if current else Policy()
    told = {"second_person": wanted.second_person, "due_hours": wanted.due_hours}
    data = ExceptionPolicyChanged(
        before={"second_person": before.second_person, "due_hours": before.due_hours}, after=told
    )
    await tx.emit("exception_policy.changed", data, entity="exception_policy")
    return await policy_of(tx)


async def _locked(tx: Transaction) -> Row | None:
    return await tx.row(select(policy).with_for_update())
