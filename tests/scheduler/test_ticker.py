"""The claim loop against a real PostgreSQL (S1)."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import orjson
import pytest
from sqlalchemy import insert

from libs.common.context import Context
from libs.common.database.pool import Database
from libs.common.definitions.commands import Definitions
from libs.common.definitions.copies import SealedReader
from libs.common.definitions.tables import known
from libs.common.objects import Objects
from libs.common.vocabulary.schedules import ScheduleSpec
from services.scheduler import commands
from services.scheduler.ticker import Ticker

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(minutes=3, seconds=30)


@pytest.fixture
async def database(databases: dict[str, str]) -> AsyncIterator[Database]:
    async with Database.open(databases["scheduler_server"], service="scheduler", size=8) as opened:
        yield opened


@pytest.fixture
async def claimer(databases: dict[str, str]) -> AsyncIterator[Database]:
    async with Database.open(databases["scheduler_claimer"], service="scheduler", role="claimer", size=4) as opened:
        yield opened


@pytest.fixture
def own(tmp_path: Path) -> Definitions:
    objects = Objects(f"file://{tmp_path}")
    return Definitions(commands.KINDS, objects, SealedReader(objects))


async def schedule_every_minute(database: Database, tenant: UUID, **changes: object) -> UUID:
    report = uuid4()
    async with database.transaction(Context(tenant, "user:1", NOW)) as tx:
        row = {"kind": "report", "id": report, "number": 1, "name": "r", "object_key": "k", "sha256": "s"}
        await tx.execute(insert(known).values(tenant_id=tenant, effective_from=NOW.date(), archived=False, **row))
        spec = ScheduleSpec.model_validate({"report_id": report, "cron": "* * * * *", **changes})
        return await commands.create(tx, f"every minute {report}", spec)


async def said(databases: dict[str, str], tenant: UUID) -> list[dict[str, object]]:
    connection = await asyncpg.connect(databases["scheduler_relay"], server_settings={"search_path": "scheduler"})
    rows = await connection.fetch("SELECT body FROM outbox WHERE tenant_id = $1 ORDER BY position", tenant)
    await connection.close()
    return [event for row in rows if (event := orjson.loads(row["body"]))["type"].startswith("scheduler.schedule.")]


def names(events: list[dict[str, object]]) -> list[str]:
    return [str(event["type"]).split(".")[2] for event in events]


async def test_doubled_tickers_fire_each_due_time_once(
    database: Database, claimer: Database, own: Definitions, databases: dict[str, str]
) -> None:
    """Four tickers at the same tick give one firing per nominal time (S1)."""
    tenant = uuid4()
    await schedule_every_minute(database, tenant)
    tickers = [Ticker(database, claimer, own, size=100) for _ in range(4)]
    for _ in range(3):
        await asyncio.gather(*(ticker.tick(LATER) for ticker in tickers))
    events = await said(databases, tenant)
    assert names(events) == ["created", "fired", "fired", "fired"]
    nominal = [event["data"]["nominal_time"] for event in events[1:]]  # type: ignore[index]
    assert nominal == sorted(set(nominal))


async def test_a_claim_that_nobody_finished_is_taken_over(
    database: Database, claimer: Database, own: Definitions, databases: dict[str, str]
) -> None:
    """A ticker that died after claiming delays its schedules, no more (S1)."""
    tenant = uuid4()
    await schedule_every_minute(database, tenant)
    async with claimer.connection() as connection:
        await commands.store.claim(connection, LATER, timedelta(seconds=30), 100)
    ticker = Ticker(database, claimer, own, size=100)
    await ticker.tick(LATER)
    assert names(await said(databases, tenant)) == ["created"]
    await ticker.tick(LATER + timedelta(seconds=31))
    assert names(await said(databases, tenant)).count("fired") == 4


async def test_a_paused_schedule_does_not_fire(
    database: Database, claimer: Database, own: Definitions, databases: dict[str, str]
) -> None:
    """Pausing stops the clock; resuming starts from now (S1)."""
    tenant = uuid4()
    id_ = await schedule_every_minute(database, tenant)
    async with database.transaction(Context(tenant, "user:1", NOW)) as tx:
        await commands.pause(tx, id_)
    await Ticker(database, claimer, own, size=100).tick(LATER)
    assert names(await said(databases, tenant)) == ["created", "paused"]
