"""The ledger cannot be unbalanced, neither in memory nor in the database."""

from typing import Any

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.runner.domain.ledger import Balance, UnbalancedError, close
from services.runner.domain.steps import STEPS
from tests.runner.world import World

COUNTS = st.integers(min_value=0, max_value=10**12)
SIDES = ("held", "rejected", "filtered", "duplicate", "merged")


@given(counts=st.fixed_dictionaries({name: st.integers(-5, 50) for name in Balance.__slots__}))
def test_a_balance_exists_only_balanced(counts: dict[str, int]) -> None:
    """Whatever the counts: either the two sides are equal and none is negative, or there is no balance."""
    left = counts["records_in"] + counts["created"]
    right = counts["records_out"] + sum(counts[name] for name in SIDES)
    if left == right and min(counts.values()) >= 0:
        assert Balance(**counts).dropped == right - counts["records_out"]
    else:
        with pytest.raises(UnbalancedError):
            Balance(**counts)


@given(created=COUNTS, data=st.data())
def test_a_chain_of_balances_closes_to_the_record(created: int, data: st.DataObject) -> None:
    """Records in = records out + all that were dropped on the way, whatever each step dropped."""
    carried, chain = created, [("extract", Balance(created=created, records_out=created))]
    for step in STEPS[1:]:
        held = data.draw(st.integers(0, carried))
        filtered = data.draw(st.integers(0, carried - held))
        out = carried - held - filtered
        chain.append((step, Balance(records_in=carried, records_out=out, held=held, filtered=filtered)))
        carried = out
    totals = close(chain)
    assert totals.records_in == totals.records_out + sum(balance.dropped for _, balance in chain)


def test_a_step_that_takes_other_records_than_it_was_given_does_not_close() -> None:
    """A gap between two steps is found although each step balances by itself."""
    same = Balance(records_in=5, records_out=5)
    chain = [("extract", Balance(created=5, records_out=5)), *((step, same) for step in STEPS[1:])]
    close(chain)
    chain[3] = (chain[3][0], Balance(records_in=4, records_out=4))
    with pytest.raises(UnbalancedError, match="took 4 records of 5"):
        close(chain)


@pytest.mark.parametrize("missing", [step for step in STEPS if step != "validate_output"])
def test_a_ledger_without_a_step_does_not_close(missing: str) -> None:
    """Every step but the skippable one must have its balance."""
    chain = [(step, Balance()) for step in STEPS if step != missing]
    with pytest.raises(UnbalancedError):
        close(chain)


async def execute(world: World, statement: str, *arguments: Any) -> None:
    async with world.database.transaction(world.context()) as tx:
        await tx.connection.execute(statement, *arguments)


async def test_the_database_refuses_an_unbalanced_row(world: World) -> None:
    """The CHECK holds even against code that bypasses the domain."""
    await world.setup()
    run_id = await world.start()
    await world.attempt(run_id)
    wrong = """INSERT INTO ledger VALUES ($1, $2, 9, 'extract', 3, 0, 2, 0, 0, 0, 0, 0)"""
    with pytest.raises(asyncpg.CheckViolationError, match="balances"):
        await execute(world, wrong, world.tenant, run_id)


async def test_the_database_refuses_success_with_an_open_balance(world: World) -> None:
    """A run whose steps do not join cannot be set to `succeeded` by any statement (S20)."""
    await world.setup()
    run_id = await world.start()
    await world.attempt(run_id)
    wrong = "UPDATE run SET status = 'succeeded', ended_at = now(), lease_until = NULL, records_out = 3 WHERE id = $1"
    with pytest.raises(asyncpg.CheckViolationError, match="open balance"):
        await execute(world, wrong, run_id)


async def test_the_database_refuses_to_change_an_ended_run(world: World) -> None:
    """What has ended stays as it ended."""
    await world.setup()
    run_id = await world.run_through()
    for wrong in ("UPDATE run SET status = 'failed' WHERE id = $1", "UPDATE run SET records_out = 0 WHERE id = $1"):
        with pytest.raises(asyncpg.CheckViolationError, match="has ended"):
            await execute(world, wrong, run_id)
