"""Trying rules on given records."""

from datetime import date
from typing import Annotated, Any, Literal
from uuid import UUID

import orjson
from fastapi import APIRouter, Request, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from libs.common.http.door import Caller, OpenDoor, permission, request_context
from libs.common.http.json import json_bytes
from libs.common.vocabulary.base import Name
from libs.common.vocabulary.rules import GivenValue, RuleSpec, Severity
from libs.expressions import Moment
from services.validator.jail.broker import RuleTally
from services.validator.trying import Given, Tried, judge, make_case

trying: APIRouter = OpenDoor("/v1/rules:try", tag="rules")


class Try(BaseModel):
    """Rules and the records to try them on.

    A rule is its specification, or the id of one, which stands for its draft or, without one, its newest version. All
    judge records of one schema in one phase. `business_key` names what records are called by in answers, as a report
    does; without it, and in the output phase, they are called by their place.
    """

    model_config = ConfigDict(extra="forbid")

    rules: list[UUID | RuleSpec] = Field(min_length=1, max_length=50)
    records: list[dict[Name, GivenValue]] = Field(min_length=1, max_length=1000)
    business_key: tuple[Name, ...] = Field(default=(), max_length=10)
    business_date: date | None = Field(default=None, description="default: today in UTC")
    as_of: AwareDatetime | None = Field(default=None, description="default: now")


class TriedFailure(BaseModel):
    """A record that a rule does not pass; `rule_id` is the id or the place of the rule, or what the schema implies."""

    place: int = Field(description="of the record, 1 is the first")
    key: str | None
    rule_id: str
    severity: Severity
    outcome: Literal["fail", "unknown", "error"]
    fields: dict[str, str | None]
    message: str


class TriedCorrection(BaseModel):
    """What a correctable rule would write."""

    place: int
    key: str | None
    rule_id: str
    field: str
    old_value: str | None
    new_value: str | None


class TryResult(BaseModel):
    """What a run would say of the records."""

    records: int
    held: int = Field(description="records with a blocking failure")
    rules: list[RuleTally]
    failures: list[TriedFailure]
    corrections: list[TriedCorrection]


@trying.post("", dependencies=[permission("rule:write")], response_model=TryResult)
async def try_rules(request: Request, caller: Caller, body: Annotated[Try, Field()]) -> Response:
    """Judge records by rules before these count: as a run would, with its messages; nothing is kept.

    Values are judged as the text that a file would hold. Takes at most ten seconds.
    """
    context = request_context(request, caller)
    moment = Moment(body.business_date or context.now.date(), body.as_of or context.now)
    given = Given(body.records, body.business_key, moment)
    runtime = request.app.state.runtime
    definitions = runtime.extras["definitions"]
    async with request.app.state.database.transaction(context) as tx:
        case = await make_case(tx, definitions, definitions.sealed, body.rules, given)
    tried = await judge(runtime.extras["jail"], case, body.records)
    return Response(json_bytes(_shown(tried)), media_type="application/json")


def _shown(tried: Tried) -> dict[str, Any]:
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
