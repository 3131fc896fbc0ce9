"""Amending: another value for a record's field, of the field's type, in the place of the one that the source has."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from libs.common.database.transaction import Row, Transaction
from libs.common.definitions.copies import Pinned, SealedReader
from libs.common.errors import Conflict, FieldProblem, Invalid
from libs.common.events.runner import ValidationRequested
from libs.common.jail import JobServer
from libs.common.objects import Objects
from libs.common.vocabulary.schemas import SchemaSpec
from libs.expressions import Moment
from services.validator.case import Case
from services.validator.exceptions import changing, decisions
from services.validator.exceptions.decisions import Verdict
from services.validator.exceptions.states import require_transition
from services.validator.exceptions.working import Choice, announce, choose
from services.validator.trying import judge

MOST_ACTIVE = 2000
"""Amendments in force of one report: more of them are a source to be mended."""
_REQUESTS = """
SELECT DISTINCT ON (run_id) run_id, request FROM job
WHERE tenant_id = $1 AND run_id = ANY($2::uuid[]) AND task = 'validate' AND request->>'phase' = 'input'
ORDER BY run_id, created_at DESC
"""
_ACTIVE = """
SELECT count(*) FROM decision WHERE tenant_id = $1 AND report_id = $2 AND kind = 'amendment' AND status IN ('active', 'proposed')
"""


@dataclass(frozen=True, slots=True)
class NewValue:
    """What a field shall be. `replaces` is what the source has, where the exception does not show it."""

    field: str
    value: str | None
    replaces: str | None = None
    stated: bool = False


@dataclass(frozen=True, slots=True)
class Amender:
    """Checks new values as runs judge them, and knows what runs were made of."""

    server: JobServer
    sealed: SealedReader
    objects: Objects

    async def amend(
        self, tx: Transaction, exception_id: UUID, revision: int, values: Sequence[NewValue], reason: str
    ) -> Row:
        """Amend the record of an exception; returns the amendment.

        Raises:
            NotFound, PreconditionFailed: see `changing.lock`. WrongStatus: the exception is not open.
            Invalid: a value is not of its field's type, or what it replaces is not known.
        """
        row = await changing.lock(tx, exception_id, revision)
        require_transition(row["status"], "amended")
        await self._check(tx, [row], values)
        await _require_room(tx, row["report_id"], 1)
        return await decisions.decide(tx, row, await _verdict(tx, row, values, reason))

    async def amend_many(
        self, tx: Transaction, choice: Choice, values: Sequence[NewValue], reason: str
    ) -> Sequence[Row]:
        """Amend the records of all exceptions of a choice alike.

        Raises:
            Invalid, Conflict: see `choose` and `amend`.
        """
        rows = await choose(tx, "amend", choice)
        await self._check(tx, rows, values)
        for report_id in sorted({row["report_id"] for row in rows}):
            await _require_room(tx, report_id, sum(row["report_id"] == report_id for row in rows))
        if rows:
            verdicts = [await _verdict(tx, row, values, reason) for row in rows]
            change = await decisions.decide_many(tx, rows, verdicts)
            told = {**change.values, "changes": {one.field: one.value for one in values}}
            await announce(tx, self.objects, "amend", choice, rows, replace(change, values=told))
        return rows

    async def _check(self, tx: Transaction, rows: Sequence[Row], values: Sequence[NewValue]) -> None:
        """Judge the new values by each schema that the exceptions' runs were judged by, in the jail that judges runs."""
        runs = {row["run_id"] for row in rows}
        found = await tx.connection.fetch(_REQUESTS, tx.tenant_id, sorted(runs))
        if len(found) != len(runs):
            raise Conflict("The run of an exception is not known any more.", type="run-unknown")
        asked = [ValidationRequested.model_validate(row["request"]) for row in found]
        for request in {(one.schema_version.sha256, one.business_key): one for one in asked}.values():
            await self._judge(request, values)

    async def _judge(self, request: ValidationRequested, values: Sequence[NewValue]) -> None:
        version = request.schema_version
        pinned = Pinned(version.kind, version.id, version.number, version.key, version.sha256)
        schema = SchemaSpec.model_validate(await self.sealed.read(pinned))
        problems = _unknown(schema, request.business_key, values)
        if not problems:
            fields = tuple(field for field in schema.fields if field.name in {one.field for one in values})
            moment = Moment(request.business_date, request.as_of)
            case = Case(SchemaSpec(fields=fields), [], {}, (), "input", moment)
            tried = await judge(self.server, case, [{one.field: one.value for one in values}])
            problems = [_problem(values, failure) for failure in tried.failures]
        if problems:
            raise Invalid("The new values do not fit the source's schema.", fields=problems)


def _unknown(schema: SchemaSpec, key: Sequence[str], values: Sequence[NewValue]) -> list[FieldProblem]:
    found = []
    names = [one.field for one in values]
    for number, one in enumerate(values):
        if one.field in names[:number]:
            found.append(FieldProblem(f"/changes/{number}/field", "is changed above already"))
        if schema.field(one.field) is None:
            found.append(FieldProblem(f"/changes/{number}/field", "the source's schema has no such field"))
        elif one.field in key:
            found.append(FieldProblem(f"/changes/{number}/field", "is of the business key, by which records are found"))
    return found


def _problem(values: Sequence[NewValue], failure: dict[str, Any]) -> FieldProblem:
    field = failure["rule_id"].split(":")[1]
    number = next(number for number, one in enumerate(values) if one.field == field)
    return FieldProblem(f"/changes/{number}/value", failure["message"])


async def _require_room(tx: Transaction, report_id: UUID, more: int) -> None:
    count = await tx.connection.fetchval(_ACTIVE, tx.tenant_id, report_id)
    if count + more > MOST_ACTIVE:
        text = f"A report has at most {MOST_ACTIVE} amendments in force, and this one has {count}; mend the source."
        raise Conflict(text, type="too-many-amendments")


async def _verdict(tx: Transaction, row: Row, values: Sequence[NewValue], reason: str) -> Verdict:
    """Return the amendment: one of the same record that changes one of the fields is taken over by it."""
    others = [
        other
        for other in await decisions.active(tx, row["report_id"], row["key"])
        if set(other["changes"]) & {one.field for one in values}
    ]
    changes: dict[str, Any] = {}
    for other in others:
        changes |= other["changes"]
    for number, one in enumerate(values):
        old = _of_source(row, changes[one.field], one, number) if one.field in changes else _replaced(row, one, number)
        if (old or "") == (one.value or ""):
            problem = FieldProblem(f"/changes/{number}/value", f"is what the source has in record {row['key']!r}")
            raise Invalid("The amendment changes nothing.", fields=[problem])
        changes[one.field] = {"old": old, "new": one.value}
    return Verdict("amendment", reason, changes, replaces=tuple(other["id"] for other in others))


def _of_source(row: Row, change: dict[str, Any], one: NewValue, number: int) -> str | None:
    """Return what the source has in a field that is amended already: an exception may show the amended value.

    One of another day may show, or its amender state, what the source had then.
    """
    old: str | None = change["old"]
    shown = _shown(row, one.field)
    said = one.replaces if one.stated else old
    if shown is not None:
        if one.stated and one.replaces not in (shown, *[old] * (shown == change["new"])):
            raise _other_value(row, number, old if shown == change["new"] else shown)
        said = shown
    return old if said in (old, change["new"]) else said


def _shown(row: Row, field: str) -> str | None:
    """Return what an exception shows of a field of the source; None where it does not, or there is nothing in it."""
    shown: str | None = row["fields"].get(field) if row["phase"] == "input" else None
    return shown


def _other_value(row: Row, number: int, has: str | None) -> Invalid:
    problem = FieldProblem(f"/changes/{number}/replaces", f"the source has {has!r} in record {row['key']!r}")
    return Invalid("The source has another value.", fields=[problem])


def _replaced(row: Row, one: NewValue, number: int) -> str | None:
    """Return what the source has in a field: as the exception shows it, or as the caller states it."""
    if row["phase"] == "input" and one.field in row["fields"]:
        shown: str | None = row["fields"][one.field]
        if one.stated and one.replaces != shown:
            raise _other_value(row, number, shown)
        return shown
    if not one.stated:
        problem = FieldProblem(f"/changes/{number}/replaces", "say what the source has; the exception does not show it")
        raise Invalid("What is replaced is not known.", fields=[problem])
    return one.replaces
