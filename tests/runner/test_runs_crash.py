"""Workers die at every write; others go on; the end is always the same, once."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from libs.common.context import Context
from libs.common.database.pool import Database
from libs.common.database.transaction import Transaction
from libs.common.objects import Objects, Sealed
from services.runner.commands import claims
from services.runner.steps import executor as executor_module
from tests.runner.world import DAY, World

pytestmark = pytest.mark.chaos

COMMITS = 6  # take, extract + request; take, transform, render, deliver


class Killed(BaseException):
    """The worker's process is gone."""


class Mortal:
    """A worker's view of the database and the object store, that ends at one write and never comes back."""

    def __init__(self, inner: Database, at: int, when: str) -> None:
        self._inner, self._at, self._when = inner, at, when
        self.writes, self.dead = 0, False

    @asynccontextmanager
    async def transaction(self, context: Context) -> AsyncIterator[Transaction]:
        self._breathe()
        async with self._inner.transaction(context) as tx:
            yield tx
            self._reach("before", count=True)
        self._reach("after")

    def _breathe(self) -> None:
        if self.dead:
            raise Killed

    def _reach(self, moment: str, *, count: bool = False) -> None:
        self.writes += count
        if self.writes == self._at and self._when == moment:
            self.dead = True
            raise Killed


@pytest.fixture(autouse=True)
def _steady_heart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep heartbeats out of the count of writes."""
    monkeypatch.setattr(executor_module, "_BEAT_SECONDS", 3600.0)


async def finish(world: World, run_id: UUID) -> None:
    """Do what living processes do until the run has ended: reap, take, answer."""
    for _ in range(12):
        status = await world.status(run_id)
        if status == "queued":
            await world.attempt(run_id, world.make_executor())
        elif status == "validating":
            await world.verdict(run_id, held=[3])
        elif status == "running":
            world.clock.ahead += timedelta(seconds=20)
            async with world.database.transaction(world.context("service:runner")) as tx:
                await claims.reap(tx, run_id)
        else:
            return
    pytest.fail(f"the run does not end: {await world.status(run_id)}")


async def require_one_good_end(world: World, run_id: UUID) -> None:
    seen = await world.read(run_id)
    assert (seen["run"]["status"], seen["run"]["records_out"], seen["run"]["records_held"]) == ("partial", 2, 1)
    assert [row["name"] for row in seen["artifacts"]] == [f"trades-{DAY}.csv"]
    assert [row["status"] for row in seen["deliveries"]] == ["succeeded"]
    assert world.delivered() == [f"trades-{DAY}.csv"]
    names = [event["type"].removeprefix("runner.").removesuffix(".v1") for event in await world.events()]
    once = ("run.created", "run.partial", "validation.requested", "artifact.rendered", "delivery.succeeded")
    assert {name: names.count(name) for name in once} == dict.fromkeys(once, 1)
    assert names.count("step.sealed") == 5
    assert [row["position"] for row in seen["progress"]] == list(range(1, len(seen["progress"]) + 1))


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("at", range(1, COMMITS + 1))
async def test_a_worker_killed_at_any_commit_leaves_one_good_end(world: World, at: int, when: str) -> None:
    """Killed before or after any commit, the run resumes from its last sealed step and ends once (S20, S38)."""
    await world.setup()
    run_id = await world.start()
    mortal = Mortal(world.database, at, when)
    worker = world.make_executor(mortal)  # type: ignore[arg-type]
    try:
        await worker.attempt(world.tenant, run_id)
        await world.verdict(run_id, held=[3])
        await worker.attempt(world.tenant, run_id)
    except Killed:
        pass
    assert mortal.dead
    await finish(world, run_id)
    await require_one_good_end(world, run_id)


@pytest.mark.parametrize("at", range(1, 6))  # extract; records, dispositions; artifact, the file of what is not out
async def test_a_worker_killed_while_it_seals_a_file_leaves_one_good_end(
    world: World, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between an object's write and the commit that names it, the next worker writes its own (S20)."""
    await world.setup()
    run_id = await world.start()
    puts, real = 0, Objects.put_hashed
    mortal = Mortal(world.database, 0, "never")

    async def deadly(self: Objects, sealed: Sealed, path: Path) -> None:
        nonlocal puts
        await real(self, sealed, path)
        puts += "/validate/" not in sealed.key
        if puts == at and "/validate/" not in sealed.key:
            mortal.dead = True
            raise Killed

    monkeypatch.setattr(Objects, "put_hashed", deadly)
    worker = world.make_executor(mortal)  # type: ignore[arg-type]
    try:
        await worker.attempt(world.tenant, run_id)
        await world.verdict(run_id, held=[3])
        await worker.attempt(world.tenant, run_id)
    except Killed:
        pass
    assert mortal.dead
    await finish(world, run_id)
    await require_one_good_end(world, run_id)


async def test_a_resumed_run_does_not_extract_again(world: World) -> None:
    """The last sealed step is where the next worker begins, even if the source has changed since."""
    await world.setup()
    run_id = await world.start()
    await world.attempt(run_id)
    await world.verdict(run_id)
    mortal = Mortal(world.database, 2, "after")
    with pytest.raises(Killed):
        await world.make_executor(mortal).attempt(world.tenant, run_id)  # type: ignore[arg-type]
    (world.home / "in" / f"trades-{DAY}.csv").unlink()
    await finish(world, run_id)
    assert (await world.run(run_id))["status"] == "succeeded"


async def test_a_run_whose_workers_always_die_ends_as_failed(world: World) -> None:
    """A step that kills its worker each time does not go round for ever: no run stays open (S20)."""
    await world.setup()
    run_id = await world.start()
    for _ in range(6):
        mortal = Mortal(world.database, 1, "after")
        try:
            await world.make_executor(mortal).attempt(world.tenant, run_id)  # type: ignore[arg-type]
        except Killed:
            world.clock.ahead += timedelta(seconds=20)
            async with world.database.transaction(world.context()) as tx:
                await claims.reap(tx, run_id)
        if await world.status(run_id) == "failed":
            break
    run = await world.run(run_id)
    assert (run["status"], run["code"]) == ("failed", "worker-lost")
