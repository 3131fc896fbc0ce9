"""What a reader cannot handle is kept with its reason, the rest goes on, and an operator can have it tried again."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import UTC, datetime
from uuid import UUID, uuid4

import orjson
import pytest
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

from deploy.local.nats import Nats
from libs.common.bus.connection import Bus, connect
from libs.common.bus.reader import Reader
from libs.common.bus.relay import Relay
from libs.common.bus.topology import DEAD_LETTERS, PROVISIONER
from libs.common.bus.work import WorkQueue, replay
from libs.common.context import Context
from libs.common.database.pool import Database
from libs.common.database.transaction import Transaction
from libs.common.errors import Conflict
from libs.common.events.envelope import Event, envelope
from libs.common.events.scheduler import ScheduleChanged

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SERVICE = "catalog"
PATTERN = "evt.*.scheduler.schedule.updated"


@pytest.fixture
async def database(databases: dict[str, str]) -> AsyncIterator[Database]:
    async with Database.open(databases["catalog_server"], service=SERVICE, size=4) as opened:
        yield opened


@pytest.fixture
async def bus(nats_server: Nats) -> AsyncIterator[Bus]:
    async with connect(nats_server.url, service=SERVICE, seed_file=nats_server.seeds[SERVICE]) as connected:
        yield connected


class Handler:
    """Refuses the names it is told to, and remembers what it handled."""

    def __init__(self) -> None:
        self.refused: set[str] = set()
        self.handled: list[str] = []

    async def __call__(self, _tx: Transaction, event: Event) -> None:
        name = event.data["name"]
        if name in self.refused:
            raise Conflict(f"{name} cannot be handled")
        self.handled.append(name)


def said(tenant: UUID, name: str) -> tuple[str, bytes]:
    """Return a schedule's event as the scheduler publishes it."""
    id_ = uuid4()
    data = ScheduleChanged(schedule_id=id_, name=name, report_id=uuid4())
    context = Context(tenant, "user:1", NOW)
    body = envelope(
        context, source="scheduler", name="schedule.updated", data=data, entity=str(id_), id=uuid4(), sequence=1
    )
    return f"evt.{tenant}.scheduler.schedule.updated", body


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - the handler runs elsewhere
            await asyncio.sleep(0.02)


async def letter_about(stream: JetStreamContext, reason: str) -> dict[str, object]:
    """Wait for the dead letter with this reason to be the last."""
    async with asyncio.timeout(20):
        while True:
            with suppress(NotFoundError, orjson.JSONDecodeError):
                message = await stream.get_last_msg(DEAD_LETTERS, f"dlq.{SERVICE}.EVT")
                content = orjson.loads(message.data or b"{}")
                if reason in content.get("reason", ""):
                    return dict(content)
            await asyncio.sleep(0.05)


async def test_a_refused_message_is_kept_the_others_applied_and_it_can_be_replayed(
    database: Database, bus: Bus, databases: dict[str, str], nats_server: Nats
) -> None:
    """One message that cannot be handled costs nobody else anything, and is not lost (S20)."""
    handler, tenant = Handler(), uuid4()
    handler.refused.add("bad")
    url = databases["catalog_relay"]
    reader = Reader(database, bus, service=SERVICE, lock_url=url, subscriptions={PATTERN: handler})
    relay = Relay(url, bus, SERVICE)
    queue = WorkQueue(bus, SERVICE, {"replay": replay(reader)}, slots=1)
    tasks = [asyncio.create_task(work.run()) for work in (reader, relay, queue)]
    try:
        async with nats_server.connect("scheduler") as scheduler, nats_server.connect(PROVISIONER) as operator:
            for name in ("first", "bad", "last"):
                await scheduler.jetstream(prefix="BUS").publish(*said(tenant, name))
            await until(lambda: {"first", "last"} <= set(handler.handled))
            letter = await letter_about(operator.jetstream(), "bad cannot be handled")
            handler.refused.clear()
            await operator.jetstream().publish(f"work.{SERVICE}.replay", orjson.dumps(letter))
            await until(lambda: "bad" in handler.handled)
        assert set(handler.handled) == {"bad", "first", "last"}  # a batch that fails is rolled back and run again
        assert handler.handled.count("bad") == 1
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
