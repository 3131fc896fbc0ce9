"""What is done to many exceptions at once: those that a filter means, if they are as many as its maker saw."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import Field

from libs.common.database.transaction import Row
from libs.common.definitions.answers import document
from libs.common.errors import FieldProblem, Invalid
from libs.common.http.door import Door, Tx
from libs.common.http.json import json_bytes
from libs.common.objects import Objects
from services.validator.api.answers import DoneTogether
from services.validator.api.exceptions import WRITE, Body, Words
from services.validator.exceptions import working
from services.validator.exceptions.filters import GivenFilter
from services.validator.exceptions.working import Action, Choice

DONE = document(DoneTogether)


class Together(Body):
    """Which exceptions are meant. `dry_run` says how many; the action itself asks for as many as were seen."""

    filter: GivenFilter
    expected: Annotated[int, Field(ge=0, le=working.MOST)] | None = None
    dry_run: bool = False


class AssignTogether(Together):
    """Who works on them from now on."""

    assignee: UUID | None = None
    comment: Words = ""


def objects_of(request: Request) -> Objects:
    """Return the service's object store."""
    found: Objects = request.app.state.runtime.objects
    return found


async def act(
    tx: Tx,
    action: Action,
    body: Together,
    work: Callable[[Choice], Awaitable[Sequence[Row]]],
    more: Mapping[str, Any] = MappingProxyType({}),
) -> Response:
    """Do the work on what the body means, or say how many that would be.

    Raises:
        Invalid: neither a dry run nor an expected count; see also `choose`.
    """
    if body.dry_run:
        matching = await working.how_many(tx, action, body.filter)
        answer = {"matching": min(matching, working.MOST), "more": matching > working.MOST, "changed": 0}
    elif body.expected is None:
        problem = FieldProblem("/expected", "say how many you saw; `dry_run` tells")
        raise Invalid("An action on many names their number.", type="expected-missing", fields=[problem])
    else:
        rows = await work(Choice(body.filter, body.expected))
        answer = {"matching": len(rows), "more": False, "changed": len(rows), **more}
    return Response(json_bytes(answer), media_type="application/json")


assigning = Door("/v1/exceptions:assign", tag="exceptions")
TOGETHER: list[APIRouter] = [assigning]


@assigning.post("", dependencies=WRITE, responses=DONE)
async def assign_exceptions(request: Request, tx: Tx, body: AssignTogether) -> Response:
    """Give all exceptions that a filter means to a user, or to nobody; at most 20,000 at once."""

    async def work(choice: Choice) -> Sequence[Row]:
        return await working.assign_many(tx, objects_of(request), choice, body.assignee, body.comment)

    return await act(tx, "assign", body, work)
