"""Trying rules on given records."""

from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from libs.common.context import Context
from libs.common.database.transaction import Row
from libs.common.definitions.answers import Answer, document
from libs.common.errors import FieldProblem, Invalid
from libs.common.http.door import Caller, Door, OpenDoor, Tx, permission, request_context
from libs.common.http.idempotency import IdempotentRequest
from libs.common.http.json import json_bytes
from libs.common.http.places import unstorable
from libs.common.vocabulary.base import Instant, Name
from libs.common.vocabulary.rules import GivenValue, Phase, RuleSpec, Severity
from libs.expressions import Moment
from services.validator.jail.broker import RuleTally
from services.validator.tries import commands as tries
from services.validator.tries import store
from services.validator.trying import Given, judge, make_case, shown

trying: APIRouter = OpenDoor("/v1/rules:try", tag="rules")
results: APIRouter = Door("/v1/rules:try", tag="rules")


def _named_or_written(rule: Any) -> str:
    return "written" if isinstance(rule, dict | RuleSpec) else "named"


AnyRule = Annotated[
    Annotated[UUID, Tag("named")] | Annotated[RuleSpec, Tag("written")], Discriminator(_named_or_written)
]


class Try(BaseModel):
    """Rules and what to try them on: given records, or the sealed records of a run.

    A rule is its specification, or the id of one, which stands for its draft or, without one, its newest version. All
    judge records of one schema in one phase. `business_key` names what records are called by in answers, as a report
    does; without it, and in the output phase, they are called by their place. A run's records are called and dated as in the run.
    """

    model_config = ConfigDict(extra="forbid")

    rules: list[AnyRule] = Field(min_length=1, max_length=50)
    records: list[dict[Name, GivenValue]] | None = Field(default=None, min_length=1, max_length=1000)
    run_id: UUID | None = Field(default=None, description="a sample, or any other run with a sealed extract")
    business_key: tuple[Name, ...] = Field(default=(), max_length=10)
    business_date: date | None = Field(default=None, description="default: today in UTC")
    as_of: Instant | None = Field(default=None, description="default: now")


class TriedFailure(Answer):
    """A record that a rule does not pass; `rule_id` is the id or the place of the rule, or what the schema implies."""

    place: int = Field(description="of the record, 1 is the first")
    key: str | None
    rule_id: str
    severity: Severity
    outcome: Literal["fail", "unknown", "error"]
    fields: dict[str, str | None]
    message: str


class TriedCorrection(Answer):
    """What a correctable rule would write."""

    place: int
    key: str | None
    rule_id: str
    field: str
    old_value: str | None
    new_value: str | None


class TryResult(Answer):
    """What a run would say of the records."""

    records: int
    held: int = Field(description="records with a blocking failure")
    rules: list[RuleTally]
    failures: list[TriedFailure]
    corrections: list[TriedCorrection]


class TryOnRun(Answer):
    """A try on a run's records; the result shows the first thousand failures and corrections, and counts all."""

    id: UUID
    run_id: UUID
    phase: Phase
    status: Literal["asked", "granted", "completed", "failed"]
    code: str
    message: str
    result: TryResult | None
    created_at: datetime
    ended_at: datetime | None


@trying.post("", dependencies=[permission("rule:write")], responses=document(TryResult) | document(TryOnRun, 202))
async def try_rules(request: Request, caller: Caller, body: Annotated[Try, Field()]) -> Response:
    """Judge records by rules before these count: as a run would, with its messages; nothing is kept.

    Given values are judged as the text that a file would hold, within ten seconds. On a run's records the rules are tried
    in a while: 202, and the place to ask for the result.
    """
    context = request_context(request, caller)
    if body.run_id is not None:
        return await _ask(request, context, body, body.run_id)
    if body.records is None:
        raise Invalid("There is nothing to judge.", fields=[FieldProblem("/records", "give records or a run_id")])
    moment = Moment(body.business_date or context.now.date(), body.as_of or context.now)
    given = Given(body.records, body.business_key, moment)
    runtime = request.app.state.runtime
    definitions = runtime.extras["definitions"]
    async with request.app.state.database.transaction(context) as tx:
        case = await make_case(tx, definitions, definitions.sealed, body.rules, given)
    tried = await judge(runtime.extras["jail"], case, body.records, context.tenant_id)
    return Response(json_bytes(shown(tried)), media_type="application/json")


async def _ask(request: Request, context: Context, body: Try, run_id: UUID) -> Response:
    problems = [
        FieldProblem(f"/{name}", "comes from the run")
        for name in ("records", "business_key", "business_date", "as_of")
        if getattr(body, name)
    ]
    if problems:
        raise Invalid("A run's records are judged as in the run.", fields=problems)
    if problem := unstorable(body.model_dump(mode="json", include={"rules"})):
        raise Invalid("The rule is not valid.", fields=[problem])
    async with request.app.state.database.transaction(context) as tx:
        once = IdempotentRequest.of(tx, request)
        if once and (kept := await once.replay()):
            return kept
        response = await _asked(request, tx, body, run_id)
        if once:
            await once.keep(response)
        return response


async def _asked(request: Request, tx: Tx, body: Try, run_id: UUID) -> Response:
    definitions = request.app.state.runtime.extras["definitions"]
    given = Given((), (), Moment(tx.context.now.date(), tx.context.now))
    case = await make_case(tx, definitions, definitions.sealed, body.rules, given)
    id_ = await tries.ask(tx, run_id, case.phase, body.rules)
    headers = {"Location": f"/v1/rules:try/{id_}"}
    return Response(json_bytes(_answer(await store.find(tx, id_))), 202, headers, media_type="application/json")


@results.get("/{id}", dependencies=[permission("rule:read")], responses=document(TryOnRun))
async def show_try(tx: Tx, id: UUID) -> Response:  # noqa: A002 - the path's own word
    """Show a try on a run's records, with its result once it has one."""
    return Response(json_bytes(_answer(await store.find(tx, id))), media_type="application/json")


def _answer(row: Row) -> dict[str, Any]:
    return {name: row[name] for name in TryOnRun.model_fields}
