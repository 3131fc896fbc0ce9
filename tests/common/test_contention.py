"""Requests that lose against others in the database are tried again, or told to come back; none fails with a 500."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastapi import Request
from fastapi.responses import JSONResponse

from libs.common.app import describe_app
from libs.common.context import Context
from libs.common.database.pool import Database
from libs.common.http.door import Door, OpenDoor, Tx
from libs.common.http.middleware import Surroundings
from libs.common.identity.principal import Principal

CONTEXT = Context(uuid4(), "service:test", datetime.now(UTC))
LOCK = "SELECT pg_advisory_xact_lock($1)"
Work = Callable[[Tx], Awaitable[None]]


class Everybody:
    """Lets every token in: who asks is not what is tested here."""

    def verify(self, _token: str, now: datetime, **_: Any) -> Principal:
        return Principal(uuid4(), f"user:{uuid4()}", uuid4(), frozenset(), now + timedelta(minutes=1))


@pytest.fixture
async def database(databases: dict[str, str]) -> AsyncIterator[Database]:
    async with Database.open(databases["catalog_server"], service="catalog", size=4) as opened:
        yield opened


@asynccontextmanager
async def caller(database: Database, work: Work) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a caller of a service with one route that does some work, in the door's transaction or in its own."""
    inside, outside = Door("/inside", tag="test"), OpenDoor("/outside", tag="test")

    @inside.post("")
    async def in_a_transaction(tx: Tx, body: dict[str, str]) -> JSONResponse:
        await work(tx)
        return JSONResponse(body)

    @outside.post("")
    async def in_its_own(request: Request) -> JSONResponse:
        async with request.app.state.database.transaction(CONTEXT) as tx:
            await work(tx)
        return JSONResponse({})

    app = describe_app("catalog", [inside, outside])
    app.state.database, app.state.verifier = database, Everybody()
    app.add_middleware(Surroundings, service="catalog", body_limits={})
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    headers = {"Authorization": "Bearer x"}
    async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers) as http:
        yield http


def crosswise() -> Work:
    """Return work that locks two things: the first two who do it in opposite orders, and whoever comes later at once."""
    met, orders = asyncio.Barrier(2), [(71, 72), (72, 71)]

    async def work(tx: Tx) -> None:
        early = bool(orders)
        first, second = orders.pop() if early else (71, 72)
        await tx.connection.execute(LOCK, first)
        if early:
            await met.wait()
        await tx.connection.execute(LOCK, second)

    return work


async def test_a_deadlock_is_tried_again(database: Database) -> None:
    """Of two requests that wait for each other the database ends one; both are answered, with their bodies."""
    async with caller(database, crosswise()) as http:
        answers = await asyncio.gather(*(http.post("/inside", json={"sent": word}) for word in ("one", "two")))
    assert [(answer.status_code, answer.json()) for answer in answers] == [
        (200, {"sent": "one"}),
        (200, {"sent": "two"}),
    ]


async def test_where_the_door_opens_no_transaction_the_caller_tries_again(database: Database) -> None:
    """503 with Retry-After for the one that lost: it may have done something before."""
    async with caller(database, crosswise()) as http:
        answers = await asyncio.gather(http.post("/outside"), http.post("/outside"))
    lost = next(answer for answer in answers if answer.status_code != 200)
    assert sorted(answer.status_code for answer in answers) == [200, 503]
    assert (lost.headers["retry-after"], lost.json()["type"]) == ("1", "urn:regent:problem:unavailable")


@pytest.mark.parametrize("code", ["40001", "40P01", "55P03", "57014", "57P01"])
async def test_whoever_always_loses_is_told_to_come_back(database: Database, code: str) -> None:
    """Serialization failure, deadlock, no lock, a cancelled statement, a stopping server: never a 500."""

    async def work(tx: Tx) -> None:
        await tx.connection.execute(f"DO $$ BEGIN RAISE SQLSTATE '{code}'; END $$")

    async with caller(database, work) as http:
        answers = [await http.post("/inside", json={}), await http.post("/outside")]
    assert [(answer.status_code, answer.headers["retry-after"]) for answer in answers] == [(503, "1")] * 2
