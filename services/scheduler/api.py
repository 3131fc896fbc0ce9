"""The HTTP door: schedules, their firings, a look ahead; and calendars."""

from datetime import date, datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field
from sqlalchemy import select

from libs.common.definitions.answers import Answer, document, listed
from libs.common.definitions.api import Body, definition_routes
from libs.common.http.door import Door, IfMatch, Tx, etag, permission
from libs.common.http.json import json_bytes
from libs.common.http.pages import PageParameters, page_of
from libs.common.vocabulary.schedules import ScheduleSpec
from services.scheduler import commands, store

schedules = Door("/v1/schedules", tag="schedules")
READ, WRITE = [permission("schedule:read")], [permission("schedule:write")]


class ScheduleDraft(Body):
    """A schedule's name and description."""

    name: str = Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f]+$")
    spec: ScheduleSpec


class Schedule(Answer):
    """When a report is due."""

    id: UUID
    name: str
    report_id: UUID
    spec: ScheduleSpec
    status: Literal["active", "paused"]
    revision: int = Field(description="counts every change; the ETag")
    next_run_at: datetime = Field(description="of a paused one, when it would have been due")
    created_at: datetime
    created_by: str = Field(description="`user:<id>`, `client:<id>` or `service:<name>`")
    changed_at: datetime


class UpcomingFiring(Answer):
    """A due time to come, and the business date that it is for."""

    nominal_time: datetime
    business_date: date


class Firing(UpcomingFiring):
    """What became of a due time."""

    id: UUID
    outcome: Literal["fired", "missed"]
    reason: str = Field(description="why it was missed; else empty")


_ONE = document(Schedule)


async def _shown(tx: Tx, id_: UUID, status: int = 200) -> Response:
    row = await store.find(tx, id_)
    headers = etag(row["revision"])
    if status == 201:  # noqa: PLR2004 - created
        headers["Location"] = f"/v1/schedules/{id_}"
    return Response(json_bytes(row), status, headers, "application/json")


@schedules.post("", status_code=201, dependencies=WRITE, responses=document(Schedule, 201))
async def create_schedule(tx: Tx, body: ScheduleDraft) -> Response:
    """Create a schedule."""
    return await _shown(tx, await commands.create(tx, body.name, body.spec), 201)


@schedules.post("/preview", dependencies=READ, responses=document(listed(UpcomingFiring)))
async def preview_schedule(
    request: Request, tx: Tx, body: ScheduleSpec, count: Annotated[int, Query(ge=1, le=100)] = 10
) -> Response:
    """Return the next firings of a schedule that need not exist."""
    upcoming = await commands.foresee(tx, request.app.state.runtime.extras["definitions"], body, count)
    items = [{"nominal_time": due.nominal, "business_date": due.business_date} for due in upcoming]
    return Response(json_bytes({"items": items, "next": None}), media_type="application/json")


@schedules.get("", dependencies=READ, responses=document(listed(Schedule)))
async def list_schedules(tx: Tx, page: PageParameters, report_id: UUID | None = None) -> Response:
    """List schedules, newest first."""
    statement = select(*store.SHOWN)
    if report_id is not None:
        statement = statement.where(store.schedule.c.report_id == report_id)
    return await page_of(tx, statement, page, [store.schedule.c.id])


@schedules.get("/{id}", dependencies=READ, responses=_ONE)
async def get_schedule(tx: Tx, id: UUID) -> Response:  # noqa: A002 - the path's own word
    """Return a schedule."""
    return await _shown(tx, id)


@schedules.put("/{id}", dependencies=WRITE, responses=_ONE)
async def edit_schedule(tx: Tx, id: UUID, body: ScheduleDraft, revision: IfMatch) -> Response:  # noqa: A002
    """Change a schedule."""
    await commands.edit(tx, id, revision, body.name, body.spec)
    return await _shown(tx, id)


@schedules.delete("/{id}", status_code=204, dependencies=WRITE)
async def delete_schedule(tx: Tx, id: UUID) -> Response:  # noqa: A002
    """Delete a schedule; its runs and its trail stay."""
    await commands.remove(tx, id)
    return Response(status_code=204)


@schedules.post("/{id}/pause", dependencies=WRITE, responses=_ONE)
async def pause_schedule(tx: Tx, id: UUID) -> Response:  # noqa: A002
    """Fire no more until resumed."""
    await commands.pause(tx, id)
    return await _shown(tx, id)


@schedules.post("/{id}/resume", dependencies=WRITE, responses=_ONE)
async def resume_schedule(tx: Tx, id: UUID) -> Response:  # noqa: A002
    """Fire again from now on."""
    await commands.resume(tx, id)
    return await _shown(tx, id)


@schedules.get("/{id}/firings", dependencies=READ, responses=document(listed(Firing)))
async def list_firings(tx: Tx, id: UUID, page: PageParameters) -> Response:  # noqa: A002
    """List what became of a schedule's due times, newest first."""
    await store.find(tx, id)
    columns = store.firing.c
    shown = select(columns.nominal_time, columns.id, columns.business_date, columns.outcome, columns.reason)
    return await page_of(tx, shown.where(columns.schedule_id == id), page, [columns.nominal_time])


ROUTERS: list[APIRouter] = [schedules, *(definition_routes(kind) for kind in commands.KINDS.values())]
