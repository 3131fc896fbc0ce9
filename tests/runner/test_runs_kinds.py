"""Kinds of run: what each does, and where each is seen."""

from typing import Any

import asyncpg
import pytest

from libs.common.errors import Conflict
from services.runner.commands.creation import Order, create_run
from services.runner.commands.rerunning import rerun
from services.runner.domain.steps import EVERY_STEP, STEPS_OF, following, last_step, next_step
from tests.runner.world import DAY, World


async def sample(world: World, limit: int) -> Any:
    async with world.database.transaction(world.context()) as tx:
        run = await create_run(tx, world.library, Order(world.report_id, DAY, kind="sample", row_limit=limit))
    return run["id"]


@pytest.mark.parametrize("kind", STEPS_OF)
def test_every_kind_walks_its_steps_in_order(kind: str) -> None:
    """From the first step to the last, and nothing after it."""
    steps = STEPS_OF[kind]
    assert [next_step(steps[:done], kind) for done in range(len(steps) + 1)] == [*steps, None]
    assert [following(step, kind) for step in steps] == [*steps[1:], ""]
    assert last_step(kind) == steps[-1]
    assert list(steps) == sorted(steps, key=EVERY_STEP.index)


async def test_a_sample_takes_the_first_records_and_nothing_else_happens(world: World) -> None:
    """Extract only: no verdict is asked for, nothing is rendered or delivered; the ledger closes."""
    await world.setup()
    run_id = await sample(world, 2)
    assert await world.attempt(run_id) == "succeeded"
    seen = await world.read(run_id)
    assert list(seen["steps"]) == ["extract"]
    assert (seen["run"]["records_in"], seen["run"]["records_out"]) == (2, 2)
    assert (seen["artifacts"], world.delivered()) == ([], [])
    told = [event["data"].get("kind") for event in await world.events() if ".run." in event["type"]]
    assert told == ["sample"] * 4


async def test_a_sample_is_not_repeated_and_is_no_answer_about_records(world: World) -> None:
    """A trial stands beside reports: it is neither their parent nor their newest run."""
    await world.setup()
    run_id = await sample(world, 2)
    await world.attempt(run_id)
    async with world.database.transaction(world.context()) as tx:
        with pytest.raises(Conflict, match="ask for a new one"):
            await rerun(tx, world.library, run_id, "pinned")


async def test_the_database_knows_when_a_sample_is_whole(world: World) -> None:
    """A sample ends well with its extract's balance only, and no run changes its kind."""
    await world.setup()
    run_id = await sample(world, 2)
    async with world.database.transaction(world.context()) as tx:
        ending = "UPDATE run SET status = 'succeeded', ended_at = now(), lease_until = NULL, records_out = 0"
        with pytest.raises(asyncpg.CheckViolationError, match="open balance"):
            await tx.connection.execute(f"{ending} WHERE id = $1", run_id)
        await tx.rollback()
        await tx.begin()
        with pytest.raises(asyncpg.CheckViolationError):
            await tx.connection.execute("UPDATE run SET kind = 'report', row_limit = NULL WHERE id = $1", run_id)
        await tx.rollback()
        await tx.begin()
