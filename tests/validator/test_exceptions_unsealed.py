"""Exceptions before their verdict are provisional; where it is never told they close by themselves, each once."""

from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from libs.common.context import utc_now
from libs.common.database.transaction import Row
from libs.common.events.runner import ValidationRequested
from services.validator import commands
from services.validator import store as jobs
from services.validator.exceptions import changing, opening, store, unsealed, waiving
from services.validator.exceptions.unsealed import on_run_ended, void_job
from services.validator.exceptions.verdicts import Opener
from services.validator.jail.sealing import FAILURES
from tests.validator.queue import DAY, Queue, failure, run_ended

LEASE = timedelta(seconds=30)
HELD = 10


class DiedError(Exception):
    """Stands for the end of a process between two transactions."""


class Unsealed:
    """A validation that opened all but its last exceptions, and has not told its verdict."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.run, self.request_id = uuid4(), uuid4()
        self.asked = {
            "run_id": str(self.run),
            "report_id": str(queue.report),
            "phase": "input",
            "request_id": str(self.request_id),
        }
        self.request = ValidationRequested.model_construct(
            run_id=self.run, report_id=queue.report, request_id=self.request_id, phase="input", business_date=DAY
        )

    async def begin(self, failures: Path) -> Opener:
        """Claim the job and open all but the last."""
        async with self.queue.transaction("service:validator") as tx:
            await jobs.add_job(tx, self.request_id, self.run, self.asked)
            assert await jobs.claim_job(tx, self.request_id, self.queue.now) is not None
        opener = self.queue.opener(self.run, failures, request_id=self.request_id)
        assert await opener.open_ahead(self.queue.database, self.queue.context("service:validator"), 1)
        return opener

    async def fail(self) -> None:
        """End the validation without a verdict."""
        async with self.queue.transaction("service:validator") as tx:
            assert await commands.fail(tx, self.request, 1, "rule-erred", "a rule errs")

    async def over(self, after: str, run: UUID | None = None) -> None:
        """Hear twice that the run is over."""
        event = run_ended(self.queue, run or self.run, after)
        for _ in range(2):
            async with self.queue.transaction("service:validator") as tx:
                await on_run_ended(tx, event)

    async def claimed(self) -> Row | None:
        """Take the work of closing, as a worker does whose forerunner's lease is over."""
        self.queue.now = utc_now() + timedelta(days=1)
        async with self.queue.transaction("service:validator") as tx:
            (job,) = await tx.connection.fetch(
                "SELECT request_id FROM job WHERE task = 'void' AND run_id = $1", self.run
            )
            return await jobs.claim_job(tx, job["request_id"], self.queue.now)

    async def close(self) -> None:
        """Do the work of closing."""
        row = await self.claimed()
        assert row is not None
        await void_job(self.queue.database, self.queue.context("service:validator"), row, LEASE)

    async def group(self, run: UUID | None = None) -> dict[str, Any]:
        """Return the group of the run's one rule."""
        async with self.queue.transaction() as tx:
            (group,) = await store.groups(tx, run or self.run, None, samples=1, causes=1)
            return group

    async def seen(self) -> list[dict[str, Any]]:
        """Return the run's exceptions as they look from outside."""
        rows = await self.queue.fetch("SELECT id FROM exception WHERE run_id = $1 ORDER BY ordinal", self.run)
        async with self.queue.transaction() as tx:
            return [await store.find(tx, row["id"]) for row in rows]


@pytest.fixture
async def begun(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> tuple[Unsealed, Opener]:
    """Open nine of ten exceptions; three are a step of what opens and of what closes."""
    monkeypatch.setattr(opening, "_CHUNK", 3)
    monkeypatch.setattr(unsealed, "_CHUNK", 3)
    path = queue.home / "failures.parquet"
    pq.write_table(pa.Table.from_pylist([failure(n) for n in range(1, HELD + 1)], schema=FAILURES), path)
    made = Unsealed(queue)
    return made, await made.begin(path)


async def test_exceptions_are_provisional_until_their_verdict(queue: Queue, begun: tuple[Unsealed, Opener]) -> None:
    """Lists, the one exception and the groups say so; with the verdict it is over."""
    made, opener = begun
    assert [(one["status"], one["provisional"]) for one in await made.seen()] == [("open", True)] * 9
    assert (await made.group())["provisional"] is True
    other = await queue.open([failure(1)])
    assert (await made.group(other))["provisional"] is False
    async with queue.transaction("service:validator") as tx:
        assert await jobs.end_job(tx, made.request_id, 1, "done")
        await opener.open_last(tx)
    assert [one["provisional"] for one in await made.seen()] == [False] * HELD
    assert ((await made.group())["provisional"], (await made.group())["open"]) == (False, HELD)


@pytest.mark.parametrize("steps", range(4))
async def test_a_validation_that_fails_for_good_leaves_no_work(
    queue: Queue, begun: tuple[Unsealed, Opener], monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    """What it opened closes with the reason, though the worker dies between any two steps; counts stay exact."""
    made, _ = begun
    await made.fail()
    await made.over("failed")
    assert (await made.group())["provisional"] is True
    done, apply = 0, changing.apply

    async def dying(*arguments: Any) -> None:
        nonlocal done
        if done == steps:
            raise DiedError
        done += 1
        await apply(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(changing, "apply", dying)
        if steps < 3:
            with pytest.raises(DiedError):
                await made.close()
            assert (await made.group())["closed"] == steps * 3
    await made.close()
    assert await made.claimed() is None
    shown = await made.seen()
    assert {(one["status"], one["resolution"], one["provisional"]) for one in shown} == {("closed", "void", False)}
    assert {name: (await made.group())[name] for name in ("open", "closed")} == {"open": 0, "closed": 9}
    told = await queue.fetch("SELECT comment, action, count(*) AS n FROM exception_history GROUP BY 1, 2")
    assert [tuple(row) for row in told] == [("The records could not be judged: a rule errs", "closed", 9)]
    assert [data["records"] for name, data in await queue.events() if name == "exception.voided"] == [9]


@pytest.mark.parametrize("after", ["failed", "cancelled"])
async def test_a_run_that_ends_stops_what_judges_it(queue: Queue, begun: tuple[Unsealed, Opener], after: str) -> None:
    """Its worker opens nothing more and tells no verdict; what is decided already stays decided."""
    made, opener = begun
    first = (await made.seen())[0]
    async with queue.transaction() as tx:
        await waiving.waive(tx, first["id"], first["revision"], DAY + timedelta(days=900), "known")
    await made.over(after)
    async with queue.transaction("service:validator") as tx:
        assert not await commands.complete(tx, made.request, 1, None, opener)  # type: ignore[arg-type] # told to nobody
    assert not await opener.open_ahead(queue.database, queue.context("service:validator"), 1)
    await made.close()
    assert [one["status"] for one in await made.seen()] == ["waived", *["closed"] * 8]
    (reason,) = {data["reason"] for name, data in await queue.events() if name == "exception.voided"}
    assert reason == ("The run was cancelled: enough" if after == "cancelled" else "The run failed: enough")


async def test_exceptions_of_a_verdict_stay_when_their_run_fails_later(queue: Queue) -> None:
    """Who repeats the run takes the verdict over, and works on these."""
    run = await queue.open([failure(n) for n in range(3)])
    await Unsealed(queue).over("failed", run)
    assert [row["status"] for row in await queue.listed(run_id=run)] == ["open"] * 3
    assert await queue.fetch("SELECT request_id FROM job") == []
