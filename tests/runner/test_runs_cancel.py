"""A run can be stopped wherever it stands, and then nothing of it is delivered."""

import asyncio
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from libs.common.errors import Conflict
from services.runner.commands import claims
from services.runner.commands.cancelling import cancel_run
from services.runner.steps import executor as executor_module
from services.runner.store import runs
from tests.runner.world import World


async def cancel(world: World, run_id: UUID) -> None:
    async with world.database.transaction(world.context()) as tx:
        await cancel_run(tx, run_id, "not today")


async def require_cancelled(world: World, run_id: UUID) -> None:
    run = await world.run(run_id)
    assert (run["status"], run["reason"], run["lease_until"]) == ("cancelled", "not today", None)
    assert world.delivered() == []
    assert [event["type"] for event in await world.events()].count("runner.run.cancelled.v1") == 1


async def test_a_waiting_run_is_cancelled(world: World) -> None:
    """Cancelled while its definitions are unknown (S20)."""
    data = {"schedule_id": str(uuid4()), "firing_id": str(uuid4()), "report_id": str(uuid4())}
    await world.hear(
        "scheduler.schedule.fired",
        {**data, "nominal_time": "2026-03-02T06:00:00Z", "business_date": "2026-03-01"},
    )
    async with world.database.transaction(world.context()) as tx:
        (run_id,) = await runs.unended(tx, "waiting")
    await cancel(world, run_id)
    await require_cancelled(world, run_id)


async def test_a_queued_run_is_cancelled(world: World) -> None:
    """Cancelled before a worker took it; a late poke changes nothing (S20)."""
    await world.setup()
    run_id = await world.start()
    await cancel(world, run_id)
    await world.attempt(run_id)
    await require_cancelled(world, run_id)


async def test_a_validating_run_is_cancelled(world: World) -> None:
    """Cancelled while the validator works; its verdict comes to nothing (S20)."""
    await world.setup()
    run_id = await world.start()
    await world.attempt(run_id)
    asked = {"run_id": str(run_id), "request_id": "", "phase": "input", "rows": 3}
    async with world.database.transaction(world.context()) as tx:
        row = await tx.connection.fetchrow("SELECT request_id FROM validation WHERE run_id = $1", run_id)
    await cancel(world, run_id)
    await world.hear(
        "validator.validation.completed",
        await world.validator.verdict_on({**asked, "request_id": str(row["request_id"])}),
    )
    await require_cancelled(world, run_id)


@pytest.mark.parametrize("step", ["extract", "transform", "render"])
async def test_a_running_run_is_cancelled_within_its_step(
    world: World, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker notices at its next heartbeat, stops the step and ends the run (S20)."""
    began = asyncio.Event()

    async def endless(_job: object) -> None:
        began.set()
        await asyncio.sleep(3600)

    steps = dict(executor_module._STEPS)
    await world.setup()
    run_id = await world.start()
    if step != "extract":
        await world.attempt(run_id)
        await world.verdict(run_id)
        world.executor = world.make_executor()  # another worker: nothing is drafted there
    monkeypatch.setattr(executor_module, "_STEPS", {**steps, step: endless})
    monkeypatch.setattr(executor_module, "_BEAT_SECONDS", 0.05)
    working = asyncio.create_task(world.attempt(run_id))
    await asyncio.wait_for(began.wait(), 30)
    await cancel(world, run_id)
    await asyncio.wait_for(working, 10)
    await require_cancelled(world, run_id)


async def test_a_cancellation_between_steps_wins_over_the_next_commit(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step that finishes after the request is not sealed any more (S20)."""
    steps = dict(executor_module._STEPS)

    async def cancelled_meanwhile(job: object) -> object:
        result = await steps["extract"](job)  # type: ignore[arg-type]
        await cancel(world, run_id)
        return result

    await world.setup()
    run_id = await world.start()
    monkeypatch.setattr(executor_module, "_STEPS", {**steps, "extract": cancelled_meanwhile})
    monkeypatch.setattr(executor_module, "_BEAT_SECONDS", 3600.0)
    await world.attempt(run_id)
    await require_cancelled(world, run_id)
    assert (await world.read(run_id))["steps"] == {}


async def test_a_cancelled_run_whose_worker_died_is_cancelled_by_the_reaper(world: World) -> None:
    """Nobody goes on with what somebody stopped (S20)."""
    await world.setup()
    run_id = await world.start()
    async with world.database.transaction(world.context("service:runner")) as tx:
        await claims.claim(tx, await runs.lock(tx, run_id), "w", timedelta(seconds=15))
    await cancel(world, run_id)
    assert await world.status(run_id) == "running"
    world.clock.ahead += timedelta(seconds=20)
    async with world.database.transaction(world.context("service:runner")) as tx:
        await claims.reap(tx, run_id)
    await require_cancelled(world, run_id)


async def test_a_delivery_that_has_begun_is_not_cancelled(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing half delivered: once delivery begins, the run goes to its end and the request is refused (S20)."""
    steps = dict(executor_module._STEPS)

    async def asked_too_late(job: object) -> object:
        with pytest.raises(Conflict, match="delivery has begun"):
            await cancel(world, run_id)
        return await steps["deliver"](job)  # type: ignore[arg-type]

    await world.setup()
    run_id = await world.start()
    await world.attempt(run_id)
    await world.verdict(run_id)
    monkeypatch.setattr(executor_module, "_STEPS", {**steps, "deliver": asked_too_late})
    assert await world.attempt(run_id) == "succeeded"


@pytest.mark.parametrize("held", [[], [3]])
async def test_an_ended_run_cannot_be_cancelled(world: World, held: list[int]) -> None:
    """Its end stands."""
    await world.setup()
    run_id = await world.run_through(held=held)
    with pytest.raises(Conflict, match="has ended"):
        await cancel(world, run_id)
