"""Waiving: a failure is accepted, for a record with the values that it has now, until a day.

It holds for the same record (report and key), the same rule in whatever version, and the same offending values as the
rule shows them. A record that is not of its schema's shape cannot be waived: it would go out as something else.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from uuid import UUID

from libs.common.database.transaction import Row, Transaction
from libs.common.errors import FieldProblem, Invalid
from libs.common.objects import Objects
from services.validator.exceptions import changing, decisions
from services.validator.exceptions.decisions import Verdict
from services.validator.exceptions.states import WrongStatus, require_transition
from services.validator.exceptions.working import Choice, announce, choose


async def waive(tx: Transaction, exception_id: UUID, revision: int, expires_on: date, reason: str) -> Row:
    """Accept the failure of an exception; returns the waiver.

    Raises:
        NotFound, PreconditionFailed: see `changing.lock`. WrongStatus: it is not open, or cannot be waived.
        Invalid: the day is past.
    """
    _require_future(tx, expires_on)
    row = await changing.lock(tx, exception_id, revision)
    require_transition(row["status"], "waived")
    _require_waivable(row)
    return await decisions.decide(tx, row, Verdict("waiver", reason, expires_on=expires_on))


async def waive_many(tx: Transaction, objects: Objects, choice: Choice, expires_on: date, reason: str) -> Sequence[Row]:
    """Accept the failures of all exceptions of a choice.

    Raises:
        Invalid, Conflict: see `choose` and `waive`.
    """
    _require_future(tx, expires_on)
    rows = await choose(tx, "waive", choice)
    for row in rows:
        _require_waivable(row)
    if rows:
        verdict = Verdict("waiver", reason, expires_on=expires_on)
        change = await decisions.decide_many(tx, rows, [verdict] * len(rows))
        told = {**change.values, "expires_on": expires_on.isoformat()}
        await announce(tx, objects, "waive", choice, rows, replace(change, values=told))
    return rows


def _require_future(tx: Transaction, expires_on: date) -> None:
    if expires_on < tx.context.now.date():
        raise Invalid("A waiver ends on a day to come.", fields=[FieldProblem("/expires_on", "is past")])


def _require_waivable(row: Row) -> None:
    if ":" in row["rule_id"]:
        text = "A record that is not of its schema's shape, or in conflict with an amendment, can only be amended."
        raise WrongStatus(text, type="not-waivable")
    if row["evidence"] is None:
        raise WrongStatus("The exception is older than waivers are; run the report again.", type="not-waivable")
