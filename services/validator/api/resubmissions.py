"""Sending records again, and what came of it."""

from collections.abc import Sequence
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy import select

from libs.common.database.transaction import Row
from libs.common.definitions.answers import document, listed
from libs.common.errors import NotFound
from libs.common.http.door import Door, IfMatch, Tx
from libs.common.http.json import json_bytes
from libs.common.http.pages import PageParameters, page_of
from services.validator.api.answers import ResubmittedTogether, ShownResubmission
from services.validator.api.exceptions import READ, WRITE, Body, Words, exceptions
from services.validator.api.together import Together, act, objects_of
from services.validator.exceptions import resubmitting
from services.validator.exceptions.resubmitting import Versions, Wish
from services.validator.exceptions.tables import resubmission
from services.validator.exceptions.working import Choice

_S = resubmission.c
_COLUMNS = tuple(column for column in _S if column.name not in ("tenant_id", "ordinals"))


class Resubmission(Body):
    """How the records are sent again: with their run's versions of rules and mappings, or those in force now."""

    versions: Versions = "pinned"
    comment: Words = ""


class ResubmitTogether(Together, Resubmission):
    """The records of many exceptions of one run."""


@exceptions.post("/{id}/resubmit", dependencies=WRITE, status_code=202, responses=document(ShownResubmission, 202))
async def resubmit_exception(request: Request, tx: Tx, id: UUID, body: Resubmission, revision: IfMatch) -> Response:  # noqa: A002
    """Send the record again: a correction run judges it, and delivers it if nothing holds it any more."""
    sent = await resubmitting.resubmit(tx, objects_of(request), id, revision, Wish(body.versions, body.comment))
    return _answer(await _found(tx, sent["id"]), 202)


resubmitting_many = Door("/v1/exceptions:resubmit", tag="exceptions")
resubmissions = Door("/v1/resubmissions", tag="resubmissions")


@resubmitting_many.post("", dependencies=WRITE, responses=document(ResubmittedTogether))
async def resubmit_exceptions(request: Request, tx: Tx, body: ResubmitTogether) -> Response:
    """Send the records of all exceptions that a filter means again, in one correction run; they are of one run."""
    made: dict[str, Any] = {}

    async def work(choice: Choice) -> Sequence[Row]:
        wish = Wish(body.versions, body.comment)
        rows, sent = await resubmitting.resubmit_many(tx, objects_of(request), choice, wish)
        made["resubmission"] = await _found(tx, sent["id"]) if sent else None
        return rows

    return await act(tx, "resubmit", body, work, more=made)


@resubmissions.get("", dependencies=READ, responses=document(listed(ShownResubmission)))
async def list_resubmissions(tx: Tx, page: PageParameters, run_id: Annotated[UUID | None, Query()] = None) -> Response:
    """List what was sent again, newest first."""
    statement = select(*_COLUMNS)
    if run_id is not None:
        statement = statement.where(_S.run_id == run_id)
    return await page_of(tx, statement, page, [_S.id])


@resubmissions.get("/{id}", dependencies=READ, responses=document(ShownResubmission))
async def get_resubmission(tx: Tx, id: UUID) -> Response:  # noqa: A002
    """Show what was sent again, and what came of it."""
    return _answer(await _found(tx, id))


async def _found(tx: Tx, id_: UUID) -> Row:
    row = await tx.row(select(*_COLUMNS).where(_S.id == id_))
    if row is None:
        raise NotFound("There is no such resubmission.")
    return row


def _answer(row: Row, status: int = 200) -> Response:
    return Response(json_bytes(row), status, media_type="application/json")


RESUBMISSIONS: list[APIRouter] = [resubmitting_many, resubmissions]
