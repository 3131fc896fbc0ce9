"""A route that is added is walked without being named anywhere, or is itself named: planted ones show that (S37)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from deploy.local.nats import Nats
from libs.common.app import describe_app
from libs.common.errors import NotFound
from libs.common.http.door import Caller, Door, Tx
from tests.system.operations import Operation, described
from tests.tenancy.conftest import Scratch
from tests.tenancy.coverage import uncovered, walked
from tests.tenancy.door import Door as Running
from tests.tenancy.door import opened
from tests.tenancy.strangers import Stranger

KINDS = {"schedules"}


class Copied(BaseModel):
    """A body that names something of a tenant's."""

    schedule_id: UUID


def planted(router: APIRouter) -> list[Operation]:
    """Return the operations of a router, as the document would have them."""
    return list(described(describe_app("scheduler", [router]).openapi()))


def bare(method: str, path: str) -> APIRouter:
    """Return a router with one route that takes no body."""
    router = APIRouter()

    @router.api_route(path, methods=[method])
    async def route() -> None:
        """Do nothing."""

    return router


@pytest.mark.parametrize(
    ("method", "path", "fault"),
    [
        ("GET", "/v1/things/{id}", "is asked at nothing: the owner has no things"),
        ("DELETE", "/v1/schedules", "is asked by no walk"),
        ("POST", "/v1/schedules/pause-all", "is asked by no walk"),
        ("GET", "/v1/schedules/{id}/parts/{part_id}", "is asked at nothing: no part_id"),
    ],
)
def test_what_no_walk_asks_is_named(method: str, path: str, fault: str) -> None:
    """Nobody can add a route that the walk passes by in silence."""
    filled = planted(bare(method, path))
    assert uncovered(filled, KINDS) == [f"{method} {path} {fault}"]


def test_what_a_walk_asks_is_not_named() -> None:
    """A route at a thing that the owner has, a list, and a body need no entry anywhere."""
    for method, path in (
        ("GET", "/v1/schedules/{id}/more"),
        ("GET", "/v1/more"),
        ("GET", "/v1/x/{id}/y/{schedule_id}"),
    ):
        assert uncovered(planted(bare(method, path)), KINDS | {"x"}) == []


def leaking(admin: Any) -> Door:
    """Return routes that forgot whose rows they read."""
    router = Door("/v1/schedules", tag="planted")
    one_at_a_time = asyncio.Lock()  # the administrator has one connection, the walk asks side by side

    async def found(id_: UUID) -> str:
        async with one_at_a_time:
            name: str | None = await admin.fetchval("SELECT name FROM scheduler.schedule WHERE id = $1", id_)
        if name is None:
            raise NotFound("There is no such schedule.")
        return name

    @router.get("/{id}/summary")
    async def summary(id: UUID) -> JSONResponse:  # noqa: A002
        return JSONResponse({"name": await found(id)})

    @router.get("/all/ids")
    async def ids() -> JSONResponse:
        async with one_at_a_time:
            rows = await admin.fetch("SELECT id FROM scheduler.schedule")
        return JSONResponse([str(row["id"]) for row in rows])

    @router.post("/copies")
    async def copied(body: Copied) -> JSONResponse:
        return JSONResponse({"copied": bool(await found(body.schedule_id))})

    return router


def sound() -> Door:
    """Return a route that reads by the door's transaction."""
    router = Door("/v1/schedules", tag="planted")

    @router.post("/duplicates")
    async def duplicated(request: Request, tx: Tx, _: Caller, body: Copied) -> JSONResponse:
        if await tx.connection.fetchval("SELECT true FROM schedule WHERE id = $1", body.schedule_id) is None:
            raise NotFound("There is no such schedule.")
        return JSONResponse({"path": request.url.path})

    return router


@asynccontextmanager
async def walker(door: Running, router: Door) -> AsyncIterator[tuple[Stranger, list[Operation]]]:
    """Yield a stranger in front of the service with more routes, and those routes."""
    door.app.include_router(router)
    async with door.stranger() as stranger:
        yield stranger, planted(router)


async def faults(stranger: Stranger, operations: list[Operation]) -> list[str]:
    """Ask operations as the walk of every build does."""
    walks = {"ids": stranger.at_an_id, "lists": stranger.in_a_list, "bodies": stranger.in_a_made_body}
    return [fault for walk, ask in walks.items() for each in walked(walk, operations) for fault in await ask(each)]


@pytest.fixture
async def door(scratch: Scratch, nats_server: Nats, tmp_path: Path) -> AsyncIterator[Running]:
    """Yield the scheduler over a database of its own."""
    async with opened(scratch, nats_server, tmp_path) as made:
        yield made


async def test_new_routes_that_leak_are_found(door: Running) -> None:
    """By their path, by what they list and by what their bodies name; each by a walk that knows only the document."""
    async with walker(door, leaking(door.scratch.admin)) as (stranger, operations):
        assert len(operations) == 3
        for operation in operations:
            assert await faults(stranger, [operation]), str(operation)


async def test_a_new_route_that_does_not_leak_is_let_be(door: Running) -> None:
    """What is found above is what was planted."""
    async with walker(door, sound()) as (stranger, operations):
        assert await faults(stranger, operations) == []
        own: httpx.Response = await stranger.send(
            "POST", "/v1/schedules/duplicates", {}, {"schedule_id": door.schedule}
        )
    assert own.status_code == 404
