"""Waiving: a failure is accepted, for a record with the values that it has now, until a day.

It holds for the same record (report and key), the same rule in whatever version, and the same offending values as the
rule shows them. What would go out as something else cannot be waived: a value that is not of its type or does not fit the
target, a conflict with an amendment. Nor can a field of the key: a waiver would hold for other records too.
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

_SCHEMA = "schema:"
_KEYS = """
SELECT DISTINCT run_id, request->'business_key' AS key FROM job
WHERE tenant_id = $1 AND run_id = ANY($2::uuid[]) AND task = 'validate'
"""


async def waive(tx: Transaction, exception_id: UUID, revision: int, expires_on: date, reason: str) -> Row:
    """Accept the failure of an exception; returns the waiver.

    Raises:
        NotFound, PreconditionFailed: see `changing.lock`. WrongStatus: it is not open, or cannot be waived.
        Invalid: the day is past.
    """
    _require_future(tx, expires_on)
    row = await changing.lock(tx, exception_id, revision)
    require_transition(row["status"], "waived")
    await _require_waivable(tx, [row])
    return await decisions.decide(tx, row, Verdict("waiver", reason, expires_on=expires_on))


async def waive_many(tx: Transaction, objects: Objects, choice: Choice, expires_on: date, reason: str) -> Sequence[Row]:
    """Accept the failures of all exceptions of a choice.

    Raises:
        Invalid, Conflict: see `choose` and `waive`.
    """
    _require_future(tx, expires_on)
    rows = await choose(tx, "waive", choice)
    await _require_waivable(tx, rows)
    if rows:
        verdict = Verdict("waiver", reason, expires_on=expires_on)
        change = await decisions.decide_many(tx, rows, [verdict] * len(rows))
        told = {**change.values, "expires_on": expires_on.isoformat()}
        await announce(tx, objects, "waive", choice, rows, replace(change, values=told))
    return rows


def _require_future(tx: Transaction, expires_on: date) -> None:
    if expires_on < tx.context.now.date():
        raise Invalid("A waiver ends on a day to come.", fields=[FieldProblem("/expires_on", "is past")])


async def _require_waivable(tx: Transaction, rows: Sequence[Row]) -> None:
    keys = await _keys(tx, {row["run_id"] for row in rows if row["rule_id"].startswith(_SCHEMA)})
    for row in rows:
        if row["evidence"] is None:
            text = f"The exception of record {row['key']!r} is older than waivers are; run the report again."
            raise WrongStatus(text, type="not-waivable")
        if _is_lasting(row["rule_id"], keys.get(row["run_id"], [])):
            text = "A value that is not of its type, of the key, or in conflict with an amendment can only be amended"
            raise WrongStatus(f"{text}: {row['rule_id']} of record {row['key']!r}.", type="not-waivable")


async def _keys(tx: Transaction, runs: set[UUID]) -> dict[UUID, list[str]]:
    """Return the fields of the business key, by run."""
    found = await tx.connection.fetch(_KEYS, tx.tenant_id, sorted(runs)) if runs else []
    return {row["run_id"]: row["key"] for row in found}


def _is_lasting(rule_id: str, key: Sequence[str]) -> bool:
    """Say whether a failure stays one, whoever accepts it."""
    if not rule_id.startswith(_SCHEMA):
        return rule_id.startswith(("target:", "amendment:"))
    field, kind = rule_id.removeprefix(_SCHEMA).rsplit(":", 1)
    return kind == "type" or field in key
