"""What the reaper finds is not kept waiting by one large thing: the closing of many exceptions goes on a part at a time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import orjson
import pytest

from deploy.local import postgres
from deploy.local.database import DATABASE
from libs.common.context import utc_now
from libs.common.database.pool import Database
from services.validator import reaper
from services.validator.exceptions import changing, unsealed, waiving
from tests.validator.queue import Queue, failure
from tests.validator.rounds import Rounds
from tests.validator.test_exceptions_cancelled import cancelled
from tests.validator.test_exceptions_corrections import LEASE, Correction
from tests.validator.test_exceptions_unsealed import DiedError

MANY = 24
_LOCKED = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND locktype IN ('transactionid', 'tuple'))"


@pytest.fixture
async def claimer(databases: dict[str, str], postgres_server: postgres.Postgres) -> AsyncIterator[Database]:
    """Look as the claimer does, with nothing left waiting by tests before this one."""
    url = postgres_server.url(database=DATABASE)
    admin = await asyncpg.connect(url, server_settings={"search_path": "validator"})
    await admin.execute("DELETE FROM job WHERE status = 'queued'")
    await admin.close()
    async with Database.open(databases["validator_claimer"], service="validator", role="claimer", size=1) as database:
        yield database


@asynccontextmanager
async def reaping(rounds: Rounds, claimer: Database) -> AsyncIterator[None]:
    """Run the reaper meanwhile."""
    running = asyncio.create_task(reaper.reap(claimer, rounds._worker(), rounds.database))
    try:
        async with asyncio.timeout(20):
            yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def until(rounds: Queue, query: str, *arguments: Any) -> None:
    """Wait until a query says so."""
    while not (await rounds.fetch(query, *arguments))[0][0]:  # noqa: ASYNC110 - in the database
        await asyncio.sleep(0.01)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look often, and close two at a time."""
    monkeypatch.setattr(reaper, "_INTERVAL", 0.02)
    monkeypatch.setattr(unsealed, "_CHUNK", 2)


async def left(rounds: Rounds) -> UUID:
    """Leave the exceptions of a cancelled run to be closed, and nobody told of it; returns the run."""
    run = await rounds.open([failure(n) for n in range(1, MANY + 1)])
    await cancelled(rounds, run)
    return run


@pytest.mark.usefixtures("quick")
async def test_waivers_end_while_exceptions_are_closed(rounds: Rounds, claimer: Database) -> None:
    """The closing stands still, as somebody holds an exception; a waiver whose last day is past ends all the same."""
    other = await rounds.open([failure(1)])
    row = await rounds.one(run_id=other)
    async with rounds.transaction() as tx:
        await waiving.waive(tx, row["id"], row["revision"], rounds.now.date(), "for today")
    run = await left(rounds)
    async with rounds.transaction() as held:
        await held.connection.execute("SELECT FROM exception WHERE run_id = $1 FOR UPDATE", run)
        async with reaping(rounds, claimer):
            await until(rounds, _LOCKED)
            await until(rounds, "SELECT status = 'expired' FROM decision")
    assert await rounds.fetch("SELECT FROM exception WHERE run_id = $1 AND status = 'closed'", run) == []


@pytest.mark.usefixtures("quick")
async def test_a_lost_job_does_not_wait_until_all_is_closed(rounds: Rounds, claimer: Database) -> None:
    """The closing gives way after some steps, with the rest left to whoever is next; it ends though no poke arrives."""
    run = await left(rounds)
    made = Correction(rounds, await rounds.open([failure(1)]))
    await made.send(1)
    await made.over("failed")
    async with rounds.transaction() as tx:
        await tx.connection.execute("UPDATE job SET leased_until = '2026-01-01' WHERE task = 'conclude'")
    async with reaping(rounds, claimer):
        await until(rounds, "SELECT count(*) = 0 FROM job WHERE status = 'queued'")
    names = [name for name, _ in await rounds.events() if name in ("exception.voided", "resubmission.ended")]
    assert names == ["resubmission.ended", "exception.voided"]
    statuses = [row["status"] for row in await rounds.listed(run_id=run)]
    assert statuses == ["closed"] * MANY
    told = [data["records"] for name, data in await rounds.events() if name == "exception.voided"]
    assert told == [MANY]


@pytest.mark.usefixtures("quick")
async def test_what_is_left_is_told_to_whoever_is_next(rounds: Rounds) -> None:
    """With a poke, and free to be taken: nobody waits for a lease."""
    await left(rounds)
    made = Correction(rounds, uuid4())
    for part in range(1, MANY // 2 // unsealed._STEPS + 1):
        await made.work("void")
        (job,) = await rounds.fetch("SELECT request_id, status, attempts FROM job WHERE task = 'void'")
        assert (job["status"], job["attempts"], await pokes(rounds, job["request_id"])) == ("queued", part, 1 + part)
        rounds.now = utc_now()
    await made.work("void")
    (job,) = await rounds.fetch("SELECT status FROM job WHERE task = 'void'")
    assert job["status"] == "done"


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("steps", [1, 4, 5, 11])
async def test_a_worker_that_dies_in_any_part_is_replaced(
    rounds: Rounds, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    """Before it gave way or after another went on: each exception closes once, and it is told once."""
    run = await left(rounds)
    made, apply = Correction(rounds, run), changing.apply
    lives = iter([True] * steps + [False])

    async def dying(*arguments: Any) -> None:
        if not next(lives, True):
            raise DiedError
        await apply(*arguments)

    monkeypatch.setattr(changing, "apply", dying)
    died = 0
    while await rounds.fetch("SELECT FROM job WHERE status = 'queued'"):
        try:
            await made.work("void")
        except DiedError:
            died += 1
        rounds.now = max(rounds.now, utc_now()) + 2 * LEASE
    assert died == 1
    closings = await rounds.fetch(
        "SELECT count(*) FROM exception_history WHERE action = 'closed' GROUP BY exception_id"
    )
    assert [row["count"] for row in closings] == [1] * MANY
    assert [data["records"] for name, data in await rounds.events() if name == "exception.voided"] == [MANY]


async def pokes(rounds: Rounds, request_id: UUID) -> int:
    """Return how often the workers were told of a job."""
    connection = await asyncpg.connect(rounds.relay_url, server_settings={"search_path": "validator"})
    query = "SELECT body FROM outbox WHERE tenant_id = $1 AND subject = 'work.validator.validate'"
    rows = await connection.fetch(query, rounds.tenant)
    await connection.close()
    return sum(orjson.loads(row["body"])["request_id"] == str(request_id) for row in rows)
