"""Amendments and waivers: made of exceptions, listed, approved by another, taken back."""

from collections.abc import Sequence
from datetime import date
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field
from sqlalchemy import select

from libs.common.database.transaction import Row
from libs.common.definitions.answers import document, listed
from libs.common.errors import NotFound
from libs.common.http.door import Door, IfMatch, Tx, permission
from libs.common.http.pages import PageParameters, page_of
from libs.common.vocabulary.base import Name
from services.validator.api.answers import ShownAmendment, ShownWaiver
from services.validator.api.exceptions import READ, SHOWN, WRITE, Body, Words, exceptions, shown, shown_exception
from services.validator.api.together import DONE, Together, act, objects_of
from services.validator.exceptions import approving, decisions, waiving
from services.validator.exceptions.amending import Amender, NewValue
from services.validator.exceptions.decisions import Kind, Status
from services.validator.exceptions.store import read_in_order
from services.validator.exceptions.tables import decision
from services.validator.exceptions.working import Choice

_D = decision.c
_COLUMNS = tuple(column for column in _D if column.name not in ("tenant_id", "evidence", "makers"))
APPROVE = [permission("exception:approve")]
Reason = Annotated[str, Field(min_length=1, max_length=2000, pattern=r"^[^\x00]*$")]
Value = Annotated[str, Field(max_length=10_000, pattern=r"^[^\x00]*$")]


class FieldChange(Body):
    """A field's new value, as the source's file would hold it; null for none.

    `replaces` is what the source has there. It must be said of fields that the exception does not show.
    """

    field: Name
    value: Value | None
    replaces: Value | None = None

    def as_value(self) -> NewValue:
        """Return it with whether it says what it replaces."""
        return NewValue(self.field, self.value, self.replaces, "replaces" in self.model_fields_set)


class Amendment(Body):
    """New values for a record's fields, and why."""

    changes: list[FieldChange] = Field(min_length=1, max_length=50)
    reason: Reason


class Waiver(Body):
    """Why a failure is accepted, and the last day on which it is."""

    reason: Reason
    expires_on: date


class Withdrawal(Body):
    """Why a decision is taken back."""

    reason: Words = ""


class ApproveTogether(Together):
    """The approval of what others propose of many exceptions."""

    comment: Words = ""


class AmendTogether(Together, Amendment):
    """New values for the records of many exceptions."""


class WaiveTogether(Together, Waiver):
    """The acceptance of many failures."""


def amender(request: Request) -> Amender:
    """Return what checks amendments."""
    runtime = request.app.state.runtime
    return Amender(runtime.extras["jail"], runtime.extras["definitions"].sealed, runtime.objects)


@exceptions.post("/{id}/amend", dependencies=WRITE, responses=SHOWN)
async def amend_exception(request: Request, tx: Tx, id: UUID, body: Amendment, revision: IfMatch) -> Response:  # noqa: A002
    """Give fields of the record other values; the source's bytes stay as they are.

    Holds for every later run of the report, for as long as the source has the value that is replaced.
    """
    values = [change.as_value() for change in body.changes]
    await amender(request).amend(tx, id, revision, values, body.reason)
    return await shown_exception(tx, id)


@exceptions.post("/{id}/waive", dependencies=WRITE, responses=SHOWN)
async def waive_exception(tx: Tx, id: UUID, body: Waiver, revision: IfMatch) -> Response:  # noqa: A002
    """Accept the failure of this record with these values, until a day."""
    await waiving.waive(tx, id, revision, body.expires_on, body.reason)
    return await shown_exception(tx, id)


amending_many = Door("/v1/exceptions:amend", tag="exceptions")
waiving_many = Door("/v1/exceptions:waive", tag="exceptions")
approving_many = Door("/v1/exceptions:approve", tag="exceptions")


@amending_many.post("", dependencies=WRITE, responses=DONE)
async def amend_exceptions(request: Request, tx: Tx, body: AmendTogether) -> Response:
    """Give fields of all records that a filter means other values."""

    async def work(choice: Choice) -> Sequence[Row]:
        values = [change.as_value() for change in body.changes]
        return await amender(request).amend_many(tx, choice, values, body.reason)

    return await act(tx, "amend", body, work)


@waiving_many.post("", dependencies=WRITE, responses=DONE)
async def waive_exceptions(request: Request, tx: Tx, body: WaiveTogether) -> Response:
    """Accept the failures of all records that a filter means, until a day."""

    async def work(choice: Choice) -> Sequence[Row]:
        return await waiving.waive_many(tx, objects_of(request), choice, body.expires_on, body.reason)

    return await act(tx, "waive", body, work)


@approving_many.post("", dependencies=APPROVE, responses=DONE)
async def approve_exceptions(request: Request, tx: Tx, body: ApproveTogether) -> Response:
    """Put what others propose of all exceptions that a filter means into effect; your own proposals are not meant."""

    async def work(choice: Choice) -> Sequence[Row]:
        return await approving.approve_many(tx, objects_of(request), choice, body.comment)

    return await act(tx, "approve", body, work)


def _routes(kind: Kind, model: type[BaseModel]) -> Door:
    """Return the routes of one kind of decision."""
    door = Door(f"/v1/{kind}s", tag=f"{kind}s")
    answered = document(model)

    @door.get("", dependencies=READ, name=f"list_{kind}s", responses=document(listed(model)))
    async def listing(
        tx: Tx,
        page: PageParameters,
        status: Status | None = None,
        report_id: UUID | None = None,
        exception_id: UUID | None = None,
        key: Annotated[str | None, Query(max_length=2000, pattern=r"^[^\x00]*$")] = None,
    ) -> Response:
        """List them, newest first."""
        statement = select(*_COLUMNS).where(_D.tenant_id == tx.tenant_id, _D.kind == kind)
        given: list[tuple[Any, Any]] = [
            (_D.status, status), (_D.report_id, report_id), (_D.exception_id, exception_id), (_D.key, key),
        ]  # fmt: skip
        for column, value in given:
            if value is not None:
                statement = statement.where(column == value)
        await read_in_order(tx)
        return await page_of(tx, statement, page, [_D.id])

    @door.get("/{id}", dependencies=READ, name=f"get_{kind}", responses=answered)
    async def one(tx: Tx, id: UUID) -> Response:  # noqa: A002
        """Show one."""
        return await _shown(tx, kind, id)

    @door.post("/{id}/approve", dependencies=APPROVE, name=f"approve_{kind}", responses=answered)
    async def approve(tx: Tx, id: UUID, revision: IfMatch) -> Response:  # noqa: A002
        """Put a proposal of somebody else into effect."""
        await decisions.approve(tx, kind, id, revision)
        return await _shown(tx, kind, id)

    @door.post("/{id}/withdraw", dependencies=WRITE, name=f"withdraw_{kind}", responses=answered)
    async def withdraw(tx: Tx, id: UUID, body: Withdrawal, revision: IfMatch) -> Response:  # noqa: A002
        """Take it back; what rested on it is open again."""
        await decisions.withdraw(tx, kind, id, revision, body.reason)
        return await _shown(tx, kind, id)

    return door


async def _shown(tx: Tx, kind: Kind, id_: UUID) -> Response:
    row = await tx.row(select(*_COLUMNS).where(_D.id == id_, _D.kind == kind))
    if row is None:
        raise NotFound(f"There is no such {kind}.")
    return shown(row, row["revision"])


DECISIONS: list[APIRouter] = [
    amending_many,
    waiving_many,
    approving_many,
    _routes("amendment", ShownAmendment),
    _routes("waiver", ShownWaiver),
]
