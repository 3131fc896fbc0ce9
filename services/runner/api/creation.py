"""Starting a run: it may take a moment until the versions that it needs are known here."""

from collections.abc import Awaitable
from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Request, Response
from pydantic import BaseModel, ConfigDict, Field

from libs.common.database.transaction import Row
from libs.common.definitions.answers import document
from libs.common.errors import FieldProblem, Invalid
from libs.common.http.door import Caller, OpenDoor, permission, request_context
from libs.common.vocabulary.base import Instant
from services.runner.api.answers import answer, run_answer
from services.runner.api.patience import library_of, patiently
from services.runner.api.shapes import Run
from services.runner.commands.creation import Order, create_run
from services.runner.commands.rerunning import rerun

LARGEST_SAMPLE, _SAMPLE = 10_000, 1_000

creation = OpenDoor("/v1/runs", tag="runs")


class NewRun(BaseModel):
    """A run that is asked for. Reports declare no parameters yet, so none is taken."""

    model_config = ConfigDict(extra="forbid")

    report_id: UUID
    business_date: date
    as_of: Instant | None = None
    kind: Literal["report", "sample"] = Field(
        default="report", description="a sample only takes a few records from the source, for rules to be tried on"
    )
    limit: int | None = Field(default=None, ge=1, le=LARGEST_SAMPLE, description="records of a sample; default 1,000")
    at_least: dict[UUID, Annotated[int, Field(ge=1, lt=2**31)]] = Field(
        default_factory=dict,
        max_length=50,
        description="definition → the version that was just published: the run waits for it to be known",
    )
    parameters: dict[str, Any] = Field(default_factory=dict, max_length=50)


class Rerun(BaseModel):
    """Which versions a repeated run uses: its parent's, or the latest."""

    model_config = ConfigDict(extra="forbid")

    versions: Literal["pinned", "latest"] = "pinned"


@creation.post("", status_code=201, dependencies=[permission("run:start")], responses=document(Run, 201))
async def start_run(request: Request, caller: Caller, body: NewRun) -> Response:
    """Start a run of a report for a business date, or take a sample of what it would read."""
    if body.parameters:
        name = next(iter(body.parameters))
        problem = FieldProblem(f"/parameters/{name}", "the report declares no such parameter")
        raise Invalid("The report takes no such parameter.", fields=[problem])
    _require_past(body.as_of, request_context(request, caller).now)
    order = Order(body.report_id, body.business_date, body.as_of, body.kind, _limit(body), body.at_least)
    return await patiently(request, caller, lambda tx: _started(create_run(tx, library_of(request), order)))


@creation.post("/{run_id}/rerun", status_code=201, dependencies=[permission("run:start")], responses=document(Run, 201))
async def repeat_run(request: Request, caller: Caller, run_id: UUID, body: Rerun) -> Response:
    """Repeat an ended run; a failed one goes on from where it failed."""
    library = library_of(request)
    return await patiently(request, caller, lambda tx: _started(rerun(tx, library, run_id, body.versions)))


async def _started(making: Awaitable[Row]) -> Response:
    run = await making
    return answer(run_answer(run), 201, {"Location": f"/v1/runs/{run['id']}"})


def _limit(body: NewRun) -> int | None:
    if body.kind == "sample":
        return body.limit or _SAMPLE
    if body.limit is not None:
        raise Invalid("A report takes all records.", fields=[FieldProblem("/limit", "is for samples")])
    return None


def _require_past(as_of: datetime | None, now: datetime) -> None:
    if as_of is not None and as_of > now:
        raise Invalid("No data is known as of the future.", fields=[FieldProblem("/as_of", "lies in the future")])
