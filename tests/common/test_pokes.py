"""Work that was committed here is begun here at once; what has no room here goes over the bus."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
import structlog

from deploy.local.nats import Nats
from libs.common.bus.connection import Bus, connect
from libs.common.bus.reader import Reader
from libs.common.bus.relay import Relay
from libs.common.bus.work import Early, WorkQueue
from libs.common.context import Context
from libs.common.database.pool import Database
from libs.common.database.transaction import Transaction
from tests.common.test_dead_letters import Handler, said, until

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SERVICE = "catalog"


class Works:
    """A queue's handler that works until it is told to end, and remembers on what."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.contexts: list[dict[str, Any]] = []
        self.may_end = asyncio.Event()

    async def __call__(self, reference: dict[str, Any]) -> None:
        self.begun.append(reference["number"])
        self.contexts.append(structlog.contextvars.get_contextvars())
        await self.may_end.wait()


@pytest.fixture
async def database(databases: dict[str, str]) -> AsyncIterator[Database]:
    async with Database.open(databases["catalog_server"], service=SERVICE, size=4) as opened:
        yield opened


@pytest.fixture
async def bus(nats_server: Nats) -> AsyncIterator[Bus]:
    async with connect(nats_server.url, service=SERVICE, seed_file=nats_server.seeds[SERVICE]) as connected:
        yield connected


@asynccontextmanager
async def running(*works: Any) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(work.run()) for work in works]
    await asyncio.sleep(0.1)
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def poke(database: Database, *numbers: str, then: str = "") -> None:
    async with database.transaction(Context(uuid4(), "user:1", NOW)) as tx:
        for number in numbers:
            await tx.poke("things", number=number)
        await tx.connection.execute(then or "SELECT 1")


async def poke_and_hang_up(database: Database) -> None:
    async with database.transaction(Context(uuid4(), "user:1", NOW)) as tx:
        await tx.poke("things", number="never")
        tx.connection.terminate()


async def sent(databases: dict[str, str]) -> int:
    """Return how many pokes of these tests were left to the bus."""
    connection = await asyncpg.connect(databases["catalog_relay"])
    try:
        count: int = await connection.fetchval(
            "SELECT count(*) FROM catalog.outbox WHERE subject = 'work.catalog.things' AND sent_at IS NULL"
        )
    finally:
        await connection.close()
    return count


async def test_committed_work_begins_here_and_nobody_else_is_told(
    database: Database, bus: Bus, databases: dict[str, str]
) -> None:
    """Begun without the bus, outside of what committed it, once; what is not committed is not begun, nor keeps a place."""
    works = Works()
    works.may_end.set()
    queue = database.hands = WorkQueue(bus, SERVICE, {"things": works}, slots=2)
    before = await sent(databases)
    async with running(queue):
        with structlog.contextvars.bound_contextvars(request_id="somebody's"):
            await poke(database, "1")
        await until(lambda: works.begun == ["1"])
        assert works.contexts == [{}]
        for _ in range(3):
            with pytest.raises(asyncpg.DivisionByZeroError):
                await poke(database, "never", then="SELECT 1 / 0")
        await poke(database, "2")
        await until(lambda: "2" in works.begun)
        assert await sent(databases) == before
        async with running(Relay(databases["catalog_relay"], bus, SERVICE)):
            await asyncio.sleep(0.2)
    assert works.begun == ["1", "2"]


async def test_work_whose_commit_fails_keeps_no_place(database: Database, bus: Bus) -> None:
    """A commit that does not reach the database begins nothing."""
    works = Works()
    works.may_end.set()
    queue = database.hands = WorkQueue(bus, SERVICE, {"things": works}, slots=2)
    async with running(queue):
        with pytest.raises(asyncpg.InterfaceError):
            await poke_and_hang_up(database)
        await poke(database, "1")
        await until(lambda: works.begun == ["1"])


async def test_work_can_be_taken_in_the_commit_that_brings_it(database: Database, bus: Bus) -> None:
    """It is taken last of all in that very transaction, and goes on with what that came to; none is taken for nothing."""
    works, taken, worked = Works(), list[Any](), list[Any]()

    async def take(tx: Transaction, reference: dict[str, Any]) -> Any:
        taken.append((tx.tenant_id, await tx.connection.fetchval("SELECT pg_current_xact_id()"), reference["number"]))
        return taken[-1] if reference["number"] != "3" else None

    async def work(prepared: Any) -> None:
        worked.append(prepared)

    works.may_end.set()
    early = {"things": Early(take, work)}
    database.hands = WorkQueue(bus, SERVICE, {"things": works}, slots=2, early=early)
    async with running(database.hands):
        async with database.transaction(Context(uuid4(), "user:1", NOW)) as tx:
            await tx.poke("things", number="1")
            assert taken == []
            transaction = await tx.connection.fetchval("SELECT pg_current_xact_id()")
        await until(lambda: len(worked) == 1)
        assert worked == taken == [(tx.tenant_id, transaction, "1")]
        with pytest.raises(asyncpg.DivisionByZeroError):
            await poke(database, "2", then="SELECT 1 / 0")
        await poke(database, "3")
        await until(lambda: works.begun == ["3"])
    assert len(worked) == 1


async def test_what_has_no_room_here_comes_by_its_poke(database: Database, bus: Bus, databases: dict[str, str]) -> None:
    """One place always waits for the bus: whoever has room takes what is too much here, each once."""
    works = Works()
    queue = database.hands = WorkQueue(bus, SERVICE, {"things": works}, slots=2)
    async with running(queue, Relay(databases["catalog_relay"], bus, SERVICE)):
        await poke(database, "1", "2", "3")
        await until(lambda: len(works.begun) == 2)
        await asyncio.sleep(0.2)
        assert len(works.begun) == 2
        works.may_end.set()
        await until(lambda: len(works.begun) == 3)
        await asyncio.sleep(0.2)
    assert sorted(works.begun) == ["1", "2", "3"]


async def test_nothing_is_begun_where_nobody_works(database: Database, bus: Bus, databases: dict[str, str]) -> None:
    """A queue that does not run, or has stopped, leaves all to the bus."""
    works = Works()
    works.may_end.set()
    queue = database.hands = WorkQueue(bus, SERVICE, {"things": works}, slots=3)
    before = await sent(databases)
    await poke(database, "1")
    async with running(queue):
        pass
    await poke(database, "2")
    await asyncio.sleep(0.1)
    assert works.begun == []
    assert await sent(databases) == before + 2
    async with running(
        WorkQueue(bus, SERVICE, {"things": works}, slots=3), Relay(databases["catalog_relay"], bus, SERVICE)
    ):
        await until(lambda: works.begun == ["1", "2"])


async def test_a_position_past_foreign_events_is_kept_with_the_next_of_ours(
    database: Database, bus: Bus, databases: dict[str, str], nats_server: Nats
) -> None:
    """Events that nobody asked for cost no commit; a reader that starts again reads nothing of ours twice."""
    handler = Handler()
    subscriptions = {"evt.*.scheduler.schedule.updated": handler}

    def reader() -> Reader:
        return Reader(database, bus, service=SERVICE, lock_url=databases["catalog_relay"], subscriptions=subscriptions)

    async def kept() -> int:
        async with database.connection() as connection:
            position: int = await connection.fetchval("SELECT position FROM reader_position WHERE reader = 'EVT'")
            return position

    tenant = uuid4()
    async with nats_server.connect("scheduler") as scheduler:
        stream = scheduler.jetstream(prefix="BUS")
        async with running(reader()):
            await stream.publish(*said(tenant, "ours"))
            await until(lambda: handler.handled == ["ours"])
            before = await kept()
            subject, body = said(tenant, "theirs")
            foreign = await stream.publish(subject.replace("updated", "created"), body)
            await asyncio.sleep(0.3)
            assert await kept() == before < foreign.seq
            ours = await stream.publish(*said(tenant, "later"))
            await until(lambda: handler.handled == ["ours", "later"])
            await asyncio.sleep(0.1)
            assert await kept() == ours.seq
            await stream.publish(subject.replace("updated", "created"), body)
        async with running(reader()):
            await stream.publish(*said(tenant, "last"))
            await until(lambda: "last" in handler.handled)
    assert handler.handled == ["ours", "later", "last"]
