"""Two workers, one run: the fence decides."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from libs.common.database.transaction import Transaction
from services.runner.commands import claims, moves, sealing
from services.runner.commands.claims import Claim
from services.runner.commands.moves import LostRaceError
from services.runner.commands.results import StepResult
from services.runner.domain.ledger import Balance
from services.runner.store import runs
from tests.runner.world import World


async def take(world: World, run_id: object) -> claims.Claim | None:
    async with world.database.transaction(world.context("service:runner")) as tx:
        run = await runs.lock(tx, run_id)  # type: ignore[arg-type]
        return await claims.claim(tx, run, "w", timedelta(seconds=15))


async def test_of_many_workers_one_gets_the_run(world: World) -> None:
    """Eight workers reach for one run at once: one claim, one extract (S20)."""
    await world.setup()
    run_id = await world.start()
    workers = [world.make_executor() for _ in range(6)]
    await asyncio.gather(*(worker.attempt(world.tenant, run_id) for worker in workers))
    assert (await world.run(run_id))["fence"] == 1
    names = [event["type"] for event in await world.events()]
    assert (names.count("runner.run.started.v1"), names.count("runner.step.sealed.v1")) == (1, 1)


async def sealed_and_kept(tx: Transaction, claim: Claim, result: StepResult) -> None:
    """Do what a worker does after it has made sure that it holds the run."""
    await claims.keep(tx, await sealing.seal(tx, claim, result))


async def test_a_stale_worker_can_finish_nothing(world: World) -> None:
    """After its lease ran out and another took the run, every write of the first is refused (S20)."""
    await world.setup()
    run_id = await world.start()
    first = await take(world, run_id)
    assert first is not None
    world.clock.ahead += timedelta(seconds=20)
    async with world.database.transaction(world.context("service:runner")) as tx:
        assert (await claims.reap(tx, run_id))["status"] == "queued"
    second = await take(world, run_id)
    assert second is not None
    assert second.fence > first.fence
    result = StepResult("extract", world.clock(), Balance(created=1, records_out=1))
    stale = [
        lambda tx: claims.hold(tx, first),
        lambda tx: sealed_and_kept(tx, first, result),
        lambda tx: sealing.finish(tx, first, result),
        lambda tx: sealing.fail_step(tx, first, "extract", "x", "y"),
        lambda tx: claims.beat(tx, first, world.clock()),
        lambda tx: claims.release(tx, first, timedelta(0)),
    ]
    for write in stale:
        with pytest.raises(LostRaceError):
            async with world.database.transaction(world.context("service:runner")) as tx:
                await write(tx)
    seen = await world.read(run_id)
    assert (seen["run"]["status"], seen["run"]["fence"], seen["steps"]) == ("running", second.fence, {})


async def test_a_lease_that_is_kept_is_not_reaped(world: World) -> None:
    """The reaper takes only what is overdue."""
    await world.setup()
    run_id = await world.start()
    claim = await take(world, run_id)
    assert claim is not None
    world.clock.ahead += timedelta(seconds=10)
    async with world.database.transaction(world.context("service:runner")) as tx:
        await claims.beat(tx, claim, world.clock() + timedelta(seconds=15))
    world.clock.ahead += timedelta(seconds=10)
    async with world.database.transaction(world.context("service:runner")) as tx:
        assert (await claims.reap(tx, run_id))["status"] == "running"


async def test_a_verdict_said_twice_counts_once(world: World) -> None:
    """Redelivery of an event changes nothing (S20)."""
    await world.setup()
    run_id = await world.start()
    await world.attempt(run_id)
    data = await world.verdict(run_id, held=[3])
    await world.hear("validator.validation.completed", data)
    await world.attempt(run_id)
    await world.hear("validator.validation.completed", data)
    seen = await world.read(run_id)
    assert (seen["run"]["status"], seen["ledger"]["validate"].held) == ("partial", 1)


async def test_a_verdict_that_nobody_asked_for_is_left_alone(world: World) -> None:
    """An answer with another request's id does not move the run."""
    await world.setup()
    run_id = await world.start()
    await world.attempt(run_id)
    asked = {"run_id": str(run_id), "request_id": str(world.tenant), "phase": "input", "rows": 3}
    await world.hear("validator.validation.completed", await world.validator.verdict_on(asked))
    assert await world.status(run_id) == "validating"


async def test_a_verdict_that_never_comes_ends_the_run(world: World) -> None:
    """A validator that stays silent past the grant's life does not leave the run open for ever (S20)."""
    await world.setup()
    run_id = await world.start()
    await world.attempt(run_id)
    world.clock.ahead += timedelta(hours=2)
    async with world.database.transaction(world.context("service:runner")) as tx:
        await claims.reap(tx, run_id)
    run = await world.run(run_id)
    assert (run["status"], run["code"]) == ("failed", "validation-timeout")


async def failed(world: World, run_id: object) -> dict[str, Any]:
    """Return what the end of a run that failed was announced with."""
    ends = [event["data"] for event in await world.events() if event["type"] == "runner.run.failed.v1"]
    (end,) = [data for data in ends if data["run_id"] == str(run_id)]
    return end


async def too_late(world: World, phase: str) -> Any:
    """Bring a run to where it waits for the verdict on a phase, let it wait too long, and tell the verdict then."""
    run_id = await world.start()
    await world.attempt(run_id)
    if phase == "output":
        await world.verdict(run_id, rules=[uuid4()])
        assert await world.attempt(run_id) == "validating"
    world.clock.ahead += timedelta(hours=2)
    async with world.database.transaction(world.context("service:runner")) as tx:
        assert (await claims.reap(tx, run_id))["status"] == "failed"
    await world.verdict(run_id, phase, held=[3])
    return run_id


@pytest.mark.parametrize("phase", ["input", "output"])
async def test_a_verdict_that_comes_too_late_is_not_taken_and_the_end_says_so(world: World, phase: str) -> None:
    """Who judged knows which of its verdicts count: of an earlier phase it does, and who repeats the run takes it over."""
    await world.setup()
    run_id = await too_late(world, phase)
    end = await failed(world, run_id)
    assert (end["code"], end["unjudged"]) == ("validation-timeout", [phase])
    assert (await world.run(run_id))["status"] == "failed"


async def test_a_run_that_fails_after_its_verdict_has_taken_it(world: World) -> None:
    """Its exceptions stay with the verdict, which who repeats the run takes over."""
    await world.setup()
    run_id = await world.start()
    await world.attempt(run_id)
    await world.verdict(run_id, held=[3])
    async with world.database.transaction(world.context("service:runner")) as tx:
        await moves.fail(tx, await runs.lock(tx, run_id), "broken", "It broke.")
    assert (await failed(world, run_id))["unjudged"] == []
