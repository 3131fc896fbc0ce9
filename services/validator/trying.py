"""Trying rules on given records before they count: the engine, messages and keys of a run, and nothing is kept."""

import asyncio
import math
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from prometheus_client import Counter

from libs.common.database.transaction import Transaction
from libs.common.definitions.copies import Pinned, SealedReader, in_force
from libs.common.definitions.kinds import Specs
from libs.common.errors import FieldProblem, Invalid, NotFound, TooManyRequests, Unavailable
from libs.common.jail import ConfinementError, JobError, JobServer, JobServerLost, OverBudget, fault_of
from libs.common.nearest import nearest_name
from libs.common.vocabulary.mappings import MappingSpec
from libs.common.vocabulary.rules import GivenValue, Phase, RuleSpec
from libs.common.vocabulary.schemas import SchemaSpec
from libs.expressions import Moment
from services.validator.case import Case, RuleUnfitError
from services.validator.columns import column_types
from services.validator.commands import part_of
from services.validator.domain import inexact_numbers, rule_problems
from services.validator.jail.broker import Outcome, validate_and_show
from services.validator.jail.sealing import ResultError
from services.validator.plan import ResolvedRule

TRIES = Counter("regent_rule_tries_total", "Tries of rules on given records", ["outcome"])
MEMORY_MIB, WALL_SECONDS = 256, 10.0
_MOST_ROWS = 100_000
_OVER = "Your tries have used up their processor time; try again later."


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of a try: counts by rule, every failure and every correction."""

    outcome: Outcome
    failures: list[dict[str, Any]]
    corrections: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Given:
    """The records to judge and what a run would know of them."""

    records: Sequence[dict[str, GivenValue]]
    business_key: tuple[str, ...]
    moment: Moment


async def make_case(
    tx: Transaction, specs: Specs, sealed: SealedReader, rules: Sequence[UUID | RuleSpec], given: Given
) -> Case:
    """Gather what the rules need: their newest drafts or versions, the newest schema, mappings in force on the day.

    Raises:
        NotFound: there is no such rule. Invalid: the rules do not fit each other, their schema or the records.
        NotYetVisible: the schema or a mapping is not known here yet.
    """
    _require_once(rules)
    found = [(rule, await _rule(tx, specs, rule, number)) for number, rule in enumerate(rules)]
    first = found[0][1]
    _require_alike([spec for _, spec in found], first)
    schema = SchemaSpec.model_validate(await part_of(tx, specs, "schema", first.schema_id, "/rules/0/schema_id"))
    mappings = {
        id_: await mapping_on(tx, specs, sealed, id_, given.moment.business_date)
        for id_ in {id_ for _, spec in found for id_ in spec.mappings.values()}
    }
    for number, (_, spec) in enumerate(found):
        await asyncio.to_thread(_require_fit, spec, schema, mappings, number)
    _require_known(given, schema)
    resolved = [
        ResolvedRule(id=str(rule) if isinstance(rule, UUID) else f"rules/{number}", version=1, spec=spec)
        for number, (rule, spec) in enumerate(found)
    ]
    return Case(schema, resolved, mappings, given.business_key, first.phase, given.moment)


def _require_once(rules: Sequence[UUID | RuleSpec]) -> None:
    problems = [
        FieldProblem(f"/rules/{number}", "is named above already")
        for number, rule in enumerate(rules)
        if isinstance(rule, UUID) and rule in rules[:number]
    ]
    if problems:
        raise Invalid("A rule is tried once.", fields=problems)


async def _rule(tx: Transaction, specs: Specs, rule: UUID | RuleSpec, number: int) -> RuleSpec:
    if isinstance(rule, RuleSpec):
        return rule
    body = await specs.spec_of(tx, "rule", rule)
    if body is None:
        raise NotFound(f"There is no such rule (/rules/{number}).")
    return RuleSpec.model_validate(body)


async def mapping_on(tx: Transaction, specs: Specs, sealed: SealedReader, id_: UUID, on: date) -> MappingSpec:
    """Return a mapping as it is in force on a day.

    Raises:
        Invalid: no version is in force then. NotYetVisible: it is not known here yet.
    """
    row = await in_force(tx, "mapping", id_, on)
    if row is None:
        await part_of(tx, specs, "mapping", id_, "/rules")
        row = await in_force(tx, "mapping", id_, on)  # it may have become known between the two questions
    if row is None:
        raise Invalid(f"The mapping {id_} has no version in force on {on}.", type="no-version-in-force")
    return MappingSpec.model_validate(await sealed.read(Pinned.from_row(row)))


def _require_alike(specs: Sequence[RuleSpec], first: RuleSpec) -> None:
    problems = [
        FieldProblem(f"/rules/{number}/{name}", "is another than the first rule's")
        for number, spec in enumerate(specs)
        for name in ("schema_id", "phase")
        if getattr(spec, name) != getattr(first, name)
    ]
    if problems:
        raise Invalid("Rules that are tried together judge records of one schema in one phase.", fields=problems)


def _require_fit(spec: RuleSpec, schema: SchemaSpec, mappings: dict[UUID, MappingSpec], number: int) -> None:
    known = {alias: mappings[id_] for alias, id_ in spec.mappings.items()}
    problems = [
        FieldProblem(f"/rules/{number}{one.field.removeprefix('/spec')}", one.message, one.place)
        for one in rule_problems(spec, schema, known)
    ]
    if problems:
        raise Invalid("The rule does not fit its schema.", fields=problems)


def _require_known(given: Given, schema: SchemaSpec) -> None:
    unknown = list(islice(_unknown(given, schema), 50))
    if unknown:
        raise Invalid("The records do not fit the schema.", fields=unknown)


def _unknown(given: Given, schema: SchemaSpec) -> Iterator[FieldProblem]:
    names = {field.name: None for field in schema.fields}
    for number, record in enumerate(given.records):
        for name in (one for one in record if one not in names):
            near = nearest_name(name, names)
            yield FieldProblem.told(f"/records/{number}/{name}", "the schema has no such field", nearest=near)
        yield from inexact_numbers(record, f"/records/{number}")
    for name in given.business_key:
        if name not in names:
            near = nearest_name(name, names)
            yield FieldProblem.told("/business_key", f"the schema has no field {name!r}", nearest=near)


async def judge(
    server: JobServer, case: Case, records: Sequence[dict[str, GivenValue]], owner: UUID | None = None
) -> Tried:
    """Judge the records in the jail, as a run's are, in the share of the tenant `owner`.

    Raises:
        Invalid: judging took too long or too much memory, or a rule could not be planned.
        TooManyRequests: the tenant's tries have used up their processor time for now.
        Unavailable: the jail is away for the moment, or does not hold.
    """
    scratch = Path(tempfile.mkdtemp(prefix="try-"))
    try:
        data = scratch / "data.parquet"
        given = given_table(case.schema, records, case.phase)
        pq.write_table(given, data)
        columns = column_types({field.name: str(field.type) for field in given.schema})
        request = case.request(data, scratch, columns, memory_mib=MEMORY_MIB, threads=1, wall_seconds=WALL_SECONDS)
        asked = replace(request, owner=str(owner) if owner else None, kind="try")
        outcome, rows = await validate_and_show(server, asked, _MOST_ROWS)
        TRIES.labels("judged").inc()
        return Tried(outcome, rows["failures"], rows["corrections"])
    except (JobServerLost, ConfinementError) as error:
        raise Unavailable("Rules cannot be tried now; try again.", retry_after=1) from error
    except OverBudget as error:
        TRIES.labels("over budget").inc()
        raise over_budget(error) from error
    except RuleUnfitError as error:
        raise Invalid(f"A rule does not fit the records: {error}", type="rule-does-not-compile") from error
    except (JobError, ResultError) as error:
        TRIES.labels("stopped").inc()
        fault = fault_of(error, "try")
        code = "internal-error" if fault else "try-stopped"
        raise Invalid(fault or f"The try was stopped: {error}", type=code) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def over_budget(error: OverBudget) -> TooManyRequests:
    """Return the refusal of a try whose tenant has used up its processor time for now."""
    return TooManyRequests(_OVER, retry_after=math.ceil(error.seconds))


def given_table(schema: SchemaSpec, records: Sequence[dict[str, GivenValue]], phase: Phase = "input") -> pa.Table:
    """Return the records as an extract from a file has them: numbered, every field as text."""
    places = range(1, len(records) + 1)
    columns: dict[str, Any] = {"_ordinal": pa.array(places, pa.int64())}
    if phase == "output":
        columns["_key"] = pa.array([str(place) for place in places], pa.string())
    for field in schema.fields:
        columns[field.name] = pa.array([_text(record.get(field.name)) for record in records], pa.string())
    return pa.table(columns)


def _text(value: GivenValue) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else format(Decimal(repr(value)), "f")


def shown(tried: Tried) -> dict[str, Any]:
    """Return what came of a try as it is answered."""
    return {
        "records": tried.outcome.rows,
        "held": tried.outcome.held,
        "rules": [rule.model_dump() for rule in tried.outcome.rules],
        "failures": [_failure(row) for row in tried.failures],
        "corrections": [
            {"place": row["_ordinal"]}
            | {name: row[name] for name in ("key", "rule_id", "field", "old_value", "new_value")}
            for row in tried.corrections
        ],
    }


def _failure(row: dict[str, Any]) -> dict[str, Any]:
    shown = {name: row[name] for name in ("key", "rule_id", "severity", "outcome", "message")}
    return {"place": row["_ordinal"], **shown, "fields": orjson.loads(row["fields"])}
