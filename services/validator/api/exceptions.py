"""The exception queue: lists, groups, and what is done to one exception."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import Query, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select

from libs.common.definitions.answers import document, listed
from libs.common.errors import FieldProblem, Invalid
from libs.common.http.door import Door, IfMatch, Tx, etag, permission
from libs.common.http.json import json_bytes
from libs.common.http.pages import PageParameters, page_of, position
from services.validator.api.answers import (
    ExceptionHistoryEntry,
    ShownException,
    ShownExceptionGroup,
    ShownExceptionPolicy,
)
from services.validator.exceptions import filters, policy, store, working
from services.validator.exceptions.filters import Filter, Part
from services.validator.exceptions.policy import Policy
from services.validator.exceptions.tables import exception, history

exceptions = Door("/v1/exceptions", tag="exceptions")
READ, WRITE, POLICY = ([permission(f"exception:{action}")] for action in ("read", "write", "policy"))
Words = Annotated[str, Field(max_length=2000, pattern=r"^[^\x00]*$")]
_E, _H = exception.c, history.c
SHOWN = document(ShownException)
_POLICY = document(ShownExceptionPolicy)


class Body(BaseModel):
    """A request body: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")


class Assignment(Body):
    """Who works on it from now on: a user's id, or null for nobody."""

    assignee: UUID | None
    comment: Words = ""


class Comment(Body):
    """What is said of it."""

    text: Annotated[str, Field(min_length=1, max_length=4000, pattern=r"^[^\x00]*$")]


class PolicyBody(Body):
    """Whether a second person decides on amendments and waivers; within how many hours exceptions shall be settled."""

    second_person: bool = False
    due_hours: int = Field(default=24, ge=1, le=8760)


def shown(value: object, revision: int) -> Response:
    """Return a resource with its revision as the ETag."""
    return Response(json_bytes(value), 200, etag(revision), "application/json")


async def shown_exception(tx: Tx, exception_id: UUID) -> Response:
    """Return an exception as it is now."""
    row = await store.find(tx, exception_id)
    return shown(row, row["revision"])


@exceptions.get("", dependencies=READ, responses=document(listed(ShownException)))
async def list_exceptions(
    tx: Tx,
    page: PageParameters,
    wanted: Annotated[Filter, Query()],
    order: Annotated[Literal["newest", "oldest"], Query(description="which come first")] = "newest",
) -> Response:
    """List exceptions."""
    asker = await store.asker(tx, wanted)
    key, descending = [_E.opened_at, _E.id], order == "newest"
    part = Part(page.limit + page.offset + 1, position(page, key), descending)
    statement = filters.listed(wanted, asker, part)
    await store.read_in_order(tx)
    return await page_of(tx, statement, page, key, descending=descending)


@exceptions.get("/groups", dependencies=READ, responses=document(listed(ShownExceptionGroup)))
async def group_exceptions(
    tx: Tx,
    run_id: UUID | None = None,
    report_id: UUID | None = None,
    samples: Annotated[int, Query(ge=0, le=20)] = 3,
    causes: Annotated[int, Query(ge=0, le=50)] = 5,
) -> Response:
    """Return the exceptions of a run, of a report or of all by rule, each with its counts and its largest causes.

    A cause is a rule and the values that it refused. The first two thousand causes of a rule in a run are counted one
    by one. Samples are the first records of each rule.
    """
    if run_id is not None and report_id is not None:
        raise Invalid("Group by a run or by a report.", fields=[FieldProblem("report_id", "is not taken with run_id")])
    groups = await store.groups(tx, run_id, report_id, samples=samples, causes=causes)
    return Response(json_bytes({"items": groups, "next": None}), media_type="application/json")


@exceptions.get("/policy", dependencies=READ, responses=_POLICY)
async def show_exception_policy(tx: Tx) -> Response:
    """Show how the tenant wants its exceptions handled."""
    current = await policy.policy_of(tx)
    return shown(
        PolicyBody(second_person=current.second_person, due_hours=current.due_hours).model_dump(), current.revision
    )


@exceptions.put("/policy", dependencies=POLICY, responses=_POLICY)
async def change_exception_policy(tx: Tx, body: PolicyBody, revision: IfMatch) -> Response:
    """Choose how the tenant's exceptions are handled from now on."""
    changed = await policy.set_policy(tx, Policy(body.second_person, body.due_hours, revision))
    return shown(body.model_dump(), changed.revision)


@exceptions.get("/{id}", dependencies=READ, responses=SHOWN)
async def get_exception(tx: Tx, id: UUID) -> Response:  # noqa: A002 - the path's own word
    """Show one exception."""
    return await shown_exception(tx, id)


@exceptions.get("/{id}/history", dependencies=READ, responses=document(listed(ExceptionHistoryEntry)))
async def list_exception_history(tx: Tx, page: PageParameters, id: UUID) -> Response:  # noqa: A002
    """List what was done to an exception and said of it, the first first."""
    await store.find(tx, id)
    columns = (_H.id, _H.at, _H.actor, _H.action, _H.old, _H.new, _H.comment)
    return await page_of(tx, select(*columns).where(_H.exception_id == id), page, [_H.id], descending=False)


@exceptions.post("/{id}/assign", dependencies=WRITE, responses=SHOWN)
async def assign_exception(tx: Tx, id: UUID, body: Assignment, revision: IfMatch) -> Response:  # noqa: A002
    """Give it to a user, or to nobody."""
    await working.assign(tx, id, revision, body.assignee, body.comment)
    return await shown_exception(tx, id)


@exceptions.post("/{id}/comment", dependencies=WRITE, responses=SHOWN)
async def comment_exception(tx: Tx, id: UUID, body: Comment) -> Response:  # noqa: A002
    """Say something of it; comments stand in its history."""
    await working.comment(tx, id, body.text)
    return await shown_exception(tx, id)
