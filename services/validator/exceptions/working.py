"""Working on exceptions: assigning and commenting, on one or on all that a filter means."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

import orjson
from sqlalchemy import ColumnElement, Select, func, select

from libs.common.database.transaction import Row, Transaction
from libs.common.errors import Conflict, FieldProblem, Invalid
from libs.common.events.exceptions import ExceptionsChanged
from libs.common.events.runner import ObjectReference
from libs.common.ids import uuid7
from libs.common.objects import Objects, tenant_key
from services.validator.exceptions import changing, filters
from services.validator.exceptions.changing import Change
from services.validator.exceptions.filters import Filter
from services.validator.exceptions.makers import makers
from services.validator.exceptions.states import STATUSES, WrongStatus, sources
from services.validator.exceptions.store import asker
from services.validator.exceptions.tables import exception

MOST = 20_000
_MOST_IDS = 200
Action = Literal["assign", "amend", "waive", "approve", "resubmit"]
_ALL = tuple(column.name for column in exception.c)
_READ = {"assign": ("id", "status", "assignee"), "approve": ("id", "status", "proposal_id")}
"""What actions on many need to know of each; where it is not said, everything."""
_STATUS_AFTER = {"amend": "amended", "waive": "waived", "resubmit": "resubmitted"}


async def assign(tx: Transaction, exception_id: UUID, revision: int, assignee: UUID | None, comment: str) -> None:
    """Give an exception to a user, or to nobody.

    Raises:
        NotFound, PreconditionFailed: see `lock`. WrongStatus: it is closed.
    """
    row = await changing.lock(tx, exception_id, revision)
    if row["status"] == "closed":
        raise WrongStatus("The exception is closed; there is nothing to do.")
    change = Change("assigned", {"assignee": assignee}, comment)
    await changing.apply(tx, [row], change)
    await tx.emit("exception.assigned", changing.fact(row, change), entity=exception_id)


async def comment(tx: Transaction, exception_id: UUID, text: str) -> None:
    """Add to an exception's thread.

    Raises:
        NotFound: there is none.
    """
    row = await changing.lock(tx, exception_id)
    change = Change("commented", comment=text, revised=False)
    await changing.apply(tx, [row], change)
    await tx.emit("exception.commented", changing.fact(row, change), entity=exception_id)


@dataclass(frozen=True, slots=True)
class Choice:
    """The exceptions that an action on many is for, and how many its maker saw."""

    filter: Filter
    expected: int


def eligible(action: Action) -> tuple[str, ...]:
    """Return the statuses in which exceptions can be acted upon."""
    if action == "assign":
        return tuple(status for status in STATUSES if status != "closed")
    if action == "approve":
        return ("open",)
    return sources(_STATUS_AFTER[action])


async def how_many(tx: Transaction, action: Action, wanted: Filter) -> int:
    """Return how many exceptions an action would be for; beyond the most at once, one more than that."""
    found = await _matching(tx, action, wanted)
    return int(await tx.value(select(func.count()).select_from(found.subquery())))


async def choose(tx: Transaction, action: Action, choice: Choice) -> Sequence[Row]:
    """Return the exceptions that a choice means, held until we commit.

    Raises:
        Invalid: they are more than can be acted upon at once. Conflict: not as many as the maker saw.
    """
    ids = [row["id"] for row in await tx.rows(await _matching(tx, action, choice.filter))]
    if len(ids) > MOST:
        problem = FieldProblem("/filter", f"means more than {MOST} exceptions; narrow it")
        raise Invalid("These are too many at once.", type="too-many-exceptions", fields=[problem])
    still = (filters.among(eligible(action)), *_undecided(action))
    rows = await tx.rows(filters.held(tx.tenant_id, ids, _READ.get(action, _ALL), *still))
    if len(rows) != choice.expected:
        text = f"The filter means {len(rows)} exceptions now, not {choice.expected}; look again."
        raise Conflict(text, type="other-count", extra={"matching": len(rows)})
    return rows


async def _matching(tx: Transaction, action: Action, wanted: Filter) -> Select[Any]:
    found = filters.matching(wanted, eligible(action), await asker(tx, wanted), MOST + 1)
    if action == "approve":
        found = found.where(filters.is_proposed(makers(tx), tx.context.now.date()))
    return found.where(*_undecided(action))


def _undecided(action: Action) -> list[ColumnElement[bool]]:
    """Return what an action asks of proposals: to decide there must be none, to approve there must be one."""
    if action in ("amend", "waive"):
        return [exception.c.proposal_id.is_(None)]
    return [exception.c.proposal_id.is_not(None)] if action == "approve" else []


async def assign_many(
    tx: Transaction, objects: Objects, choice: Choice, assignee: UUID | None, text: str
) -> Sequence[Row]:
    """Give all exceptions of a choice to a user, or to nobody.

    Raises:
        Invalid, Conflict: see `choose`.
    """
    rows = await choose(tx, "assign", choice)
    change = Change("assigned", {"assignee": assignee}, text)
    await changing.apply(tx, rows, change)
    await announce(tx, objects, "assign", choice, rows, change)
    return rows


async def announce(
    tx: Transaction, objects: Objects, action: Action, choice: Choice, rows: Sequence[Row], change: Change
) -> None:
    """Say once what was done to many; a long list of them is sealed, and named."""
    if not rows:
        return
    ids = [row["id"] for row in rows]
    data = ExceptionsChanged(
        action=action,
        filter=choice.filter.as_json(),
        count=len(rows),
        ids=tuple(ids[:_MOST_IDS]),
        listed=await _sealed(tx, objects, ids) if len(ids) > _MOST_IDS else None,
        after=changing.plain(change.values),
        comment=change.comment,
    )
    await tx.emit("exception.changed_together", data, entity=uuid7(tx.context.now))


async def _sealed(tx: Transaction, objects: Objects, ids: list[Any]) -> ObjectReference:
    content = orjson.dumps([str(id_) for id_ in ids])
    name = f"{uuid7(tx.context.now)}.json"
    sealed = await objects.put(tenant_key(tx.tenant_id, "exceptions", "changed-together", name), content)
    return ObjectReference(key=sealed.key, sha256=sealed.sha256, size=sealed.size)
