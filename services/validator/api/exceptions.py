"""The records that failed blocking rules."""

from typing import Annotated
from uuid import UUID

from fastapi import Query, Response
from sqlalchemy import select

from libs.common.errors import NotFound
from libs.common.http.door import Door, Tx, permission
from libs.common.http.json import json_bytes
from libs.common.http.pages import PageParameters, page_of
from services.validator import store

exceptions = Door("/v1/exceptions", tag="exceptions")
READ = [permission("exception:read")]
_COLUMNS = store.exception.c


@exceptions.get("", dependencies=READ)
async def list_exceptions(
    tx: Tx,
    page: PageParameters,
    run_id: UUID | None = None,
    report_id: UUID | None = None,
    rule_id: Annotated[str | None, Query(max_length=200, pattern=r"^[^\x00]*$")] = None,
) -> Response:
    """List exceptions, newest first."""
    statement = select(*(column for column in _COLUMNS if column.name != "tenant_id"))
    for column, wanted in ((_COLUMNS.run_id, run_id), (_COLUMNS.report_id, report_id), (_COLUMNS.rule_id, rule_id)):
        if wanted is not None:
            statement = statement.where(column == wanted)
    return await page_of(tx, statement, page, [_COLUMNS.id])


@exceptions.get("/groups", dependencies=READ)
async def group_exceptions(tx: Tx, run_id: UUID, samples: Annotated[int, Query(ge=0, le=20)] = 3) -> Response:
    """Return a run's exceptions grouped by rule, with counts and the first records of each as samples."""
    groups = await store.exception_groups(tx, run_id, samples)
    return Response(json_bytes({"items": groups, "next": None}), media_type="application/json")


@exceptions.get("/{id}", dependencies=READ)
async def get_exception(tx: Tx, id: UUID) -> Response:  # noqa: A002 - the path's own word
    """Return one exception."""
    row = await tx.row(select(*(column for column in _COLUMNS if column.name != "tenant_id")).where(_COLUMNS.id == id))
    if row is None:
        raise NotFound("There is no such exception.")
    return Response(json_bytes(row), media_type="application/json")
