"""Starting a run: it may take a moment until the versions that it needs are known here."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import date, datetime
from typing import Any, Literal
from uuid import UUID

from fastapi import Request, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from libs.common.database.pool import Database
from libs.common.database.transaction import Row, Transaction
from libs.common.errors import FieldProblem, Invalid
from libs.common.http.door import Caller, OpenDoor, permission, request_context
from libs.common.http.idempotency import IdempotentRequest
from libs.common.identity.principal import Principal
from services.runner.api.answers import answer, run_answer
from services.runner.commands.creation import Order, create_run
from services.runner.commands.pinning import NotYetVisible
from services.runner.commands.rerunning import rerun
from services.runner.library import Library

_PATIENCE_SECONDS = 2.0
_PAUSE_SECONDS = 0.1

LARGEST_SAMPLE, _SAMPLE = 10_000, 1_000

creation = OpenDoor("/v1/runs", tag="runs")


class NewRun(BaseModel):
    """A run that is asked for. Reports declare no parameters yet, so none is taken."""

    model_config = ConfigDict(extra="forbid")

    report_id: UUID
    business_date: date
    as_of: AwareDatetime | None = None
    kind: Literal["report", "sample"] = Field(
        default="report", description="a sample only takes a few records from the source, for rules to be tried on"
    )
    limit: int | None = Field(default=None, ge=1, le=LARGEST_SAMPLE, description="records of a sample; default 1,000")
    parameters: dict[str, Any] = Field(default_factory=dict, max_length=50)


class Rerun(BaseModel):
    """Which versions a repeated run uses: its parent's, or the latest."""

    model_config = ConfigDict(extra="forbid")

    versions: Literal["pinned", "latest"] = "pinned"


Start = Callable[[Transaction], Awaitable[Row]]


@creation.post("", status_code=201, dependencies=[permission("run:start")])
async def start_run(request: Request, caller: Caller, body: NewRun) -> Response:
    """Start a run of a report for a business date, or take a sample of what it would read."""
    if body.parameters:
        name = next(iter(body.parameters))
        problem = FieldProblem(f"/parameters/{name}", "the report declares no such parameter")
        raise Invalid("The report takes no such parameter.", fields=[problem])
    _require_past(body.as_of, request_context(request, caller).now)
    order = Order(body.report_id, body.business_date, body.as_of, body.kind, _limit(body))
    return await _patiently(request, caller, lambda tx: create_run(tx, _library(request), order))


@creation.post("/{run_id}/rerun", status_code=201, dependencies=[permission("run:start")])
async def repeat_run(request: Request, caller: Caller, run_id: UUID, body: Rerun) -> Response:
    """Repeat an ended run; a failed one goes on from where it failed."""
    return await _patiently(request, caller, lambda tx: rerun(tx, _library(request), run_id, body.versions))


def _limit(body: NewRun) -> int | None:
    if body.kind == "sample":
        return body.limit or _SAMPLE
    if body.limit is not None:
        raise Invalid("A report takes all records.", fields=[FieldProblem("/limit", "is for samples")])
    return None


def _require_past(as_of: datetime | None, now: datetime) -> None:
    if as_of is not None and as_of > now:
        raise Invalid("No data is known as of the future.", fields=[FieldProblem("/as_of", "lies in the future")])


def _library(request: Request) -> Library:
    library: Library = request.app.state.runtime.extras["library"]
    return library


async def _patiently(request: Request, caller: Principal, start: Start) -> Response:
    """Try until what the run needs is known, without holding a connection between the tries."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _PATIENCE_SECONDS
    while True:
        try:
            return await _once(request, caller, start)
        except NotYetVisible:
            if loop.time() >= deadline:
                raise
        await asyncio.sleep(_PAUSE_SECONDS)


async def _once(request: Request, caller: Principal, start: Start) -> Response:
    database: Database = request.app.state.database
    async with database.transaction(request_context(request, caller)) as tx:
        once = IdempotentRequest.of(tx, request)
        if once and (kept := await once.replay()):
            return kept
        run = await start(tx)
        response = answer(run_answer(run), 201, {"Location": f"/v1/runs/{run['id']}"})
        if once:
            await once.keep(response)
        return response
