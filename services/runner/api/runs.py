"""Runs: the list, one of them, its ledger, its end."""

from datetime import date
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Query, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Select, select

from libs.common.definitions.answers import document, listed
from libs.common.http.door import Door, Tx, permission
from libs.common.http.pages import PageParameters, page_of
from services.runner.api import answers
from services.runner.api.shapes import Artifact, Run, RunLedger, RunSummary, ShownRun
from services.runner.commands.cancelling import cancel_run
from services.runner.domain.states import Status
from services.runner.domain.steps import TRIALS
from services.runner.store import parts
from services.runner.store import runs as store
from services.runner.store.tables import run

runs = Door("/v1/runs", tag="runs")

Kind = Literal["report", "correction", "sample", "backtest", "all"]

_R = run.c
_LISTED = select(
    _R.id,
    _R.kind,
    _R.report_id,
    _R.report_name,
    _R.report_version,
    _R.business_date,
    _R.status,
    _R.step,
    _R.code,
    _R.reason,
    _R.trigger,
    _R.parent_id,
    _R.records_in,
    _R.records_out,
    _R.records_held,
    _R.created_at,
    _R.started_at,
    _R.ended_at,
)
_REPORTING = _LISTED.where(*(_R.kind != trial for trial in TRIALS))


class Cancellation(BaseModel):
    """Why a run is cancelled."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field(default="", max_length=500, pattern=r"^[^\x00]*$")


@runs.get("", dependencies=[permission("run:read")], responses=document(listed(RunSummary)))
async def list_runs(
    tx: Tx,
    page: PageParameters,
    status: Annotated[Status | None, Query()] = None,
    report_id: Annotated[UUID | None, Query()] = None,
    business_date: Annotated[date | None, Query()] = None,
    kind: Annotated[
        Kind | None, Query(description="default: reports and their corrections, not what was tried")
    ] = None,
) -> Response:
    """List runs, newest first; samples and backtests, which report nothing, only where they are asked for."""
    statement: Select[Any] = _REPORTING if kind is None else _LISTED
    if kind not in (None, "all"):
        statement = statement.where(_R.kind == kind)
    if status is not None:
        statement = statement.where(_R.status == status)
    if report_id is not None:
        statement = statement.where(_R.report_id == report_id)
    if business_date is not None:
        statement = statement.where(_R.business_date == business_date)
    return await page_of(tx, statement, page, (_R.created_at, _R.id))


@runs.get("/{run_id}", dependencies=[permission("run:read")], responses=document(ShownRun))
async def show_run(tx: Tx, run_id: UUID) -> Response:
    """Show a run with its steps, ledger, counts by rule, artifacts and deliveries."""
    shown = answers.run_answer(await store.find(tx, run_id))
    verdicts = await parts.validations(tx, run_id)
    shown |= {
        "steps": [answers.step_answer(row) for row in await parts.steps(tx, run_id)],
        "ledger": answers.ledger_answer(await parts.balances(tx, run_id)),
        "rules": answers.rules_answer(verdicts),
        "transform": answers.transform_answer(await parts.transformation_of(tx, run_id)),
        "artifacts": [answers.artifact_answer(row) for row in await parts.artifacts(tx, run_id)],
        "deliveries": [answers.delivery_answer(row) for row in await parts.deliveries(tx, run_id)],
        "reruns": await store.children(tx, run_id),
    }
    return answers.answer(shown)


@runs.get("/{run_id}/ledger", dependencies=[permission("run:read")], responses=document(RunLedger))
async def show_ledger(tx: Tx, run_id: UUID) -> Response:
    """Show what became of a run's records, step by step."""
    await store.find(tx, run_id)
    return answers.answer({"run_id": run_id, "steps": answers.ledger_answer(await parts.balances(tx, run_id))})


@runs.get("/{run_id}/artifacts", dependencies=[permission("run:read")], responses=document(listed(Artifact)))
async def list_artifacts(tx: Tx, run_id: UUID) -> Response:
    """List a run's artifacts; there are at most as many as the report has outputs."""
    await store.find(tx, run_id)
    items = [answers.artifact_answer(row) for row in await parts.artifacts(tx, run_id)]
    return answers.answer({"items": items, "next": None})


@runs.post("/{run_id}/cancel", status_code=202, dependencies=[permission("run:cancel")], responses=document(Run, 202))
async def cancel(tx: Tx, run_id: UUID, body: Cancellation | None = None) -> Response:
    """Cancel a run that has not ended and whose delivery has not begun."""
    changed = await cancel_run(tx, run_id, body.reason if body else "")
    return answers.answer(answers.run_answer(changed), 202)
