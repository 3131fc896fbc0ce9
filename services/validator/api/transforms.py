"""Trying a report's own code on given records."""

from datetime import date
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from libs.common.definitions.answers import Answer, document
from libs.common.http.door import Caller, OpenDoor, permission, request_context
from libs.common.http.json import json_bytes
from libs.common.vocabulary.base import Name
from libs.common.vocabulary.rules import GivenValue
from libs.common.vocabulary.transforms import PythonTransform, SqlTransform
from services.validator.transforms.trying import TransformTrier, Tried

transforms: APIRouter = OpenDoor("/v1/transforms:try", tag="transforms")


class TryTransform(BaseModel):
    """A transform and the records to try it on.

    The newest published versions of the schemas count, and the mappings in force on the business date.
    """

    model_config = ConfigDict(extra="forbid")

    transform: Annotated[PythonTransform | SqlTransform, Field(discriminator="kind")]
    source_schema_id: UUID
    target_schema_id: UUID
    records: list[dict[Name, GivenValue]] = Field(min_length=1, max_length=1000)
    business_key: tuple[Name, ...] = Field(default=(), max_length=10)
    mappings: dict[Name, UUID] = Field(default_factory=dict, max_length=20)
    business_date: date | None = Field(default=None, description="default: today in UTC")


class TriedRow(Answer):
    """A row that would go out: the places of the records behind it (1 is the first), its key where the code gave one."""

    places: list[int]
    key: str | None
    values: dict[str, Any]


class TriedDrop(Answer):
    """A record that would be left out, and why."""

    place: int
    reason: str | None


class TriedLine(Answer):
    """A line of the code on the way to the error, the innermost last."""

    line: int
    function: str
    text: str


class TriedError(Answer):
    """What stopped the code, or why its rows cannot be used."""

    code: str
    message: str
    lines: list[TriedLine]


class TransformTried(Answer):
    """What a run would make of the records, and what it took in seconds."""

    outcome: Literal["completed", "failed"]
    error: TriedError | None
    rows: list[TriedRow]
    dropped: list[TriedDrop]
    log: str = Field(description="what the code printed and logged")
    code_seconds: float | None
    gate_seconds: float | None
    cpu_seconds: float | None = Field(description="processor time of the code")
    peak_bytes: int | None = Field(description="largest memory of the code's process")


@transforms.post("", dependencies=[permission("report:write")], responses=document(TransformTried))
async def try_transform(request: Request, caller: Caller, body: Annotated[TryTransform, Field()]) -> Response:
    """Run SQL or Python over given records as a run would; nothing is kept. Takes at most some ten seconds."""
    context = request_context(request, caller)
    trier: TransformTrier = request.app.state.runtime.extras["transforms"]
    given = {
        "records": body.records,
        "business_key": body.business_key,
        "business_date": body.business_date or context.now.date(),
    }
    schemas = (body.source_schema_id, body.target_schema_id)
    async with request.app.state.database.transaction(context) as tx:
        attempt = await trier.gather(tx, body.transform, schemas, body.mappings, given)
    tried = await trier.run(context.tenant_id, attempt)
    return Response(json_bytes(_shown(tried)), media_type="application/json")


def _shown(tried: Tried) -> dict[str, Any]:
    stopped, done = tried.stopped, tried.done
    ended = stopped or done
    took = ended.took if ended else None
    lines = [line.model_dump() for line in stopped.lines] if stopped else []
    return {
        "outcome": "failed" if stopped else "completed",
        "error": {"code": stopped.code, "message": stopped.message, "lines": lines} if stopped else None,
        "rows": tried.rows,
        "dropped": tried.dropped,
        "log": tried.log,
        "code_seconds": done.code_seconds if done else None,
        "gate_seconds": done.gate_seconds if done else None,
        "cpu_seconds": took.cpu_seconds if took else None,
        "peak_bytes": took.peak_rss if took else None,
    }
