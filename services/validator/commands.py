"""Rules as definitions, and the two ends of a validation: what was asked, what came of it."""

import asyncio
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter

from libs.common.database.transaction import Transaction
from libs.common.definitions import copies
from libs.common.definitions import store as definitions
from libs.common.definitions.commands import NotYetVisible
from libs.common.definitions.kinds import Kind, Specs
from libs.common.errors import FieldProblem, Invalid
from libs.common.events.envelope import Event
from libs.common.events.exceptions import ExceptionsOpened
from libs.common.events.runner import ValidationRequested, VersionReference
from libs.common.events.validator import ValidationCompleted, ValidationFailed
from libs.common.vocabulary.mappings import MappingSpec
from libs.common.vocabulary.rules import RuleSpec
from libs.common.vocabulary.schemas import SchemaSpec
from services.validator import store
from services.validator.domain import rule_problems, rule_references
from services.validator.exceptions import unsealed
from services.validator.exceptions.verdicts import Opener


async def check_rule(tx: Transaction, spec: RuleSpec, specs: Specs) -> None:
    """Refuse a rule that does not fit its schema and mappings.

    Raises:
        Invalid: names every field that does not fit, with the position in its expression.
        NotYetVisible: the schema or a mapping is not known here yet.
    """
    schema = SchemaSpec.model_validate(await part_of(tx, specs, "schema", spec.schema_id, "/spec/schema_id"))
    mappings = {
        alias: MappingSpec.model_validate(await part_of(tx, specs, "mapping", id_, f"/spec/mappings/{alias}"))
        for alias, id_ in spec.mappings.items()
    }
    problems = await asyncio.to_thread(rule_problems, spec, schema, mappings)
    if problems:
        raise Invalid("The rule does not fit its schema.", fields=problems)


async def part_of(tx: Transaction, specs: Specs, kind: str, id_: UUID, field: str) -> Any:
    """Return the newest specification of what a rule refers to; `field` is the reference's place in the request.

    Raises:
        NotYetVisible: it is not known here, or not yet.
    """
    spec = await specs.spec_of(tx, kind, id_)
    if spec is None:
        problem = FieldProblem(field, f"is no published {kind} known here")
        raise NotYetVisible(f"The {kind} is not published, or not known here yet.", fields=[problem], retry_after=1)
    return spec


KINDS: dict[str, Kind] = {
    "rule": Kind("rule", "rules", TypeAdapter(RuleSpec), rule_references, check_rule, replayed=True, external=True)
}


async def on_validation_requested(tx: Transaction, event: Event) -> None:
    """Queue a validation and poke a worker."""
    request = ValidationRequested.model_validate(event.data)
    if await store.add_job(tx, request.request_id, request.run_id, event.data):
        await tx.poke("validate", request_id=str(request.request_id))


@dataclass(frozen=True, slots=True)
class RunRules:
    """The versions that a run uses: its rules, with their names, and the mappings that these look things up in."""

    rules: tuple[copies.Pinned, ...]
    names: dict[str, str]
    mappings: tuple[copies.Pinned, ...]


async def resolve_rules(tx: Transaction, sealed: copies.SealedReader, request: ValidationRequested) -> RunRules:
    """Return the set of rules of a run: kept at its first request, the named run's set where one is named.

    A rule without a version in force on the business date does not take part.
    """
    for run_id in (request.run_id, request.rules_of):
        kept = await store.find_run_rules(tx, run_id) if run_id else None
        if kept is not None:
            found = _from_kept(kept["rules"], kept["mappings"])
            break
    else:
        found = await _resolve(tx, sealed, request)
    for draft in request.drafts:
        found = await _with_draft(tx, sealed, request, found, draft)
    rules = [{**pinned.as_json(), "name": found.names[str(pinned.id)]} for pinned in found.rules]
    await store.keep_run_rules(tx, request.run_id, rules, [pinned.as_json() for pinned in found.mappings])
    return found


def _from_kept(rules: list[Any], mappings: list[Any]) -> RunRules:
    return RunRules(
        tuple(copies.Pinned.from_json(rule) for rule in rules),
        {rule["id"]: rule["name"] for rule in rules},
        tuple(copies.Pinned.from_json(mapping) for mapping in mappings),
    )


async def _resolve(tx: Transaction, sealed: copies.SealedReader, request: ValidationRequested) -> RunRules:
    rules, names, mappings = [], {}, {}
    for id_ in request.rules:
        row = await definitions.owned_in_force(tx, id_, request.business_date)
        if row is None:
            continue
        pinned = copies.Pinned("rule", id_, row["number"], row["object_key"], row["sha256"])
        rules.append(pinned)
        names[str(id_)] = row["name"]
        spec = RuleSpec.model_validate(await sealed.read(pinned))
        for mapping in spec.mappings.values():
            mappings[mapping] = await _mapping_in_force(tx, mapping, request)
    return RunRules(tuple(rules), names, tuple(mappings.values()))


async def _with_draft(
    tx: Transaction, sealed: copies.SealedReader, request: ValidationRequested, found: RunRules, draft: VersionReference
) -> RunRules:
    """Return the set with a draft in place of what it would replace; a rule that is not in the set is added."""
    pinned = copies.Pinned(draft.kind, draft.id, draft.number, draft.key, draft.sha256)
    mappings = {each.id: pinned if each.id == draft.id else each for each in found.mappings}
    if draft.kind != "rule":
        return RunRules(found.rules, found.names, tuple(mappings.values()))
    spec = RuleSpec.model_validate(await sealed.read(pinned))
    if str(draft.id) not in found.names and spec.phase == request.phase and spec.schema_id != request.schema_version.id:
        return found  # a rule for records of another shape
    for mapping in set(spec.mappings.values()) - mappings.keys():
        mappings[mapping] = await _mapping_in_force(tx, mapping, request)
    rules = {each.id: each for each in found.rules} | {draft.id: pinned}
    names = {str(draft.id): (await definitions.find(tx, "rule", draft.id))["name"], **found.names}
    return RunRules(tuple(rules.values()), names, tuple(mappings.values()))


async def _mapping_in_force(tx: Transaction, id_: UUID, request: ValidationRequested) -> copies.Pinned:
    row = await copies.in_force(tx, "mapping", id_, request.business_date)
    if row is None:
        raise Invalid(
            f"The mapping {id_} has no version in force on {request.business_date}.", type="no-version-in-force"
        )
    return copies.Pinned.from_row(row)


async def complete(
    tx: Transaction, request: ValidationRequested, attempt: int, completed: ValidationCompleted, opener: Opener | None
) -> bool:
    """Record what came of a validation; false where another worker was first."""
    if not await store.end_job(tx, request.request_id, attempt, "done"):
        return False
    if opener is not None:
        await opener.open_last(tx)
    if opener is not None and opener.by_rule:
        opened = ExceptionsOpened(
            run_id=request.run_id,
            report_id=request.report_id,
            phase=request.phase,
            records=completed.held + opener.held_by_transform,
            by_rule=dict(opener.by_rule),
        )
        await tx.emit("exception.opened", opened, entity=request.run_id)
    await tx.emit("validation.completed", completed, entity=request.run_id)
    return True


async def fail(tx: Transaction, request: ValidationRequested, attempt: int, code: str, message: str) -> bool:
    """Record that a validation could not be made; false where another worker was first."""
    await store.hold_for_losing(tx)
    if not await store.end_job(tx, request.request_id, attempt, "failed"):
        return False
    failed = ValidationFailed(
        run_id=request.run_id, request_id=request.request_id, phase=request.phase, code=code, message=message
    )
    await tx.emit("validation.failed", failed, entity=request.run_id)
    named = request.model_dump(include={"run_id", "report_id", "phase"})
    await unsealed.leave(tx, named, f"The records could not be judged: {message}")
    return True
