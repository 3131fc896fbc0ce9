"""One way to change exceptions, one or many: the rows, their history and the counts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Update, any_, bindparam, column, func, select, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import Uuid

from libs.common.database.transaction import Row, Transaction
from libs.common.errors import NotFound
from libs.common.events.exceptions import ExceptionChanged
from libs.common.http.door import require_revision
from services.validator.exceptions import tally
from services.validator.exceptions.states import require_transition
from services.validator.exceptions.tables import exception

_E = exception.c
Action = Literal[
    "assigned",
    "commented",
    "proposed",
    "approved",
    "amended",
    "waived",
    "withdrawn",
    "resubmitted",
    "reopened",
    "closed",
]
"""What is done to an exception, as its history calls it."""
_HISTORY = """
INSERT INTO exception_history (tenant_id, exception_id, at, actor, action, old, new, comment)
SELECT $1, u.id, $2, $3, $4, b.old, $6, $5 FROM unnest($7::uuid[], $8::bigint[]) AS u (id, place)
JOIN unnest($9::jsonb[]) WITH ORDINALITY AS b (old, place) USING (place)
"""


@dataclass(frozen=True, slots=True)
class Change:
    """What is done to exceptions: the action as history calls it, the columns' new values, why.

    `revised` is false for what changes nothing that somebody could have read: its revision stays.
    """

    action: Action
    values: Mapping[str, Any] = field(default_factory=dict)
    comment: str = ""
    actor: str | None = None
    revised: bool = True


async def lock(tx: Transaction, exception_id: UUID, revision: int | None = None) -> Row:
    """Return an exception, held against other changes until we commit, in the revision that was read.

    Raises:
        NotFound: there is none. PreconditionFailed: it changed since it was read.
    """
    row = await tx.row(select(exception).where(_E.id == exception_id).with_for_update())
    if row is None:
        raise NotFound("There is no such exception.")
    if revision is not None:
        require_revision(revision, row["revision"])
    return row


async def apply(
    tx: Transaction, rows: Sequence[Row], change: Change, own: Mapping[str, Sequence[UUID | None]] | None = None
) -> None:
    """Change exceptions whose rows the caller holds; `own` are columns of which each row has a value of its own.

    All of it is one statement: each one writes an exception into all of its indexes.

    Raises:
        WrongStatus: one of them cannot go to the new status.
    """
    if not rows:
        return
    await _move(tx, rows, change.values.get("status"))
    ids = [row["id"] for row in rows]
    values = {**change.values, "changed_at": tx.context.now}
    if change.revised:
        values["revision"] = _E.revision + 1
    await tx.execute(_updated(tx.tenant_id, ids, values, own or {}))
    places, old = _distinct(rows, change)
    arguments = (tx.context.now, change.actor or tx.context.actor, change.action, change.comment, plain(change.values))
    await tx.connection.execute(_HISTORY, tx.tenant_id, *arguments, ids, places, old)


def _distinct(rows: Sequence[Row], change: Change) -> tuple[list[int], list[dict[str, Any]]]:
    """Return what a change replaces: of each row its place, from one, among the few there are."""
    found: dict[tuple[Any, ...], int] = {}
    places = [found.setdefault(tuple(row[name] for name in change.values), len(found) + 1) for row in rows]
    return places, [plain(dict(zip(change.values, values, strict=True))) for values in found]


def _updated(
    tenant_id: UUID, ids: Sequence[UUID], values: Mapping[str, Any], own: Mapping[str, Sequence[UUID | None]]
) -> Update:
    """Return the statement that changes them. It names the tenant, and the ids: else the engine reads all that there are."""
    statement = update(exception).where(_E.tenant_id == tenant_id, _E.id == any_(_uuids(ids)))
    if not own:
        return statement.values(**values)
    columns = [column(name, Uuid) for name in ("id", *own)]
    given = func.unnest(_uuids(ids), *map(_uuids, own.values())).table_valued(*columns, name="given").render_derived()
    return statement.where(_E.id == given.c.id).values(**values, **{name: given.c[name] for name in own})


def _uuids(values: Sequence[UUID | None]) -> Any:
    return bindparam(None, list(values), type_=ARRAY(Uuid))


async def _move(tx: Transaction, rows: Sequence[Row], after: str | None) -> None:
    moving = {row["status"] for row in rows} - {after}
    if after is None or not moving:
        return
    for status in sorted(moving):
        require_transition(status, after)
    await tally.move(tx, [row["id"] for row in rows], after)


def before(row: Row, change: Change) -> dict[str, Any]:
    """Return what a change replaces, as JSON."""
    return plain({name: row[name] for name in change.values})


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values as JSON has them."""
    simple = (str, int, bool, dict, list, type(None))
    return {name: value if isinstance(value, simple) else str(value) for name, value in values.items()}


def fact(row: Row, change: Change) -> ExceptionChanged:
    """Return what a change of one exception is announced with."""
    names = ("run_id", "report_id", "rule_id", "key")
    return ExceptionChanged(
        exception_id=row["id"],
        **{name: row[name] for name in names},
        before=before(row, change),
        after=plain(change.values),
        comment=change.comment,
    )
