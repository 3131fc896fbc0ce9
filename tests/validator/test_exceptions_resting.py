"""One amendment of a record settles all of its exceptions that were amended: taken back, all of them wait again."""

from typing import Any

import pytest

from services.validator.exceptions import decisions, policy, store
from services.validator.exceptions.amending import NewValue
from services.validator.exceptions.filters import Filter
from services.validator.exceptions.policy import Policy
from services.validator.exceptions.working import Choice
from tests.validator.rounds import Rounds
from tests.validator.test_exceptions_decisions import amended, one_decision

TWICE = ("T1", "XXXX", "-1")
"""A record that two rules hold."""


async def by_each_rule(rounds: Rounds) -> Any:
    """Amend the record's venue by the exception of one rule, and venue and price by that of the other."""
    await rounds.run(TWICE)
    venue, price = (str(rounds.rules[name]) for name in ("venue known", "price positive"))
    await amended(rounds, NewValue("venue", "XPAR"), rule_id=venue)
    more = (NewValue("venue", "XLON", "XXXX", stated=True), NewValue("price", "1"))
    return await amended(rounds, *more, rule_id=price)


async def withdraw(rounds: Rounds, made: Any) -> None:
    async with rounds.transaction() as tx:
        await decisions.withdraw(tx, "amendment", made["id"], made["revision"], "was wrong")


async def states(rounds: Rounds) -> list[tuple[str, Any]]:
    return sorted((row["status"], row["decision_id"]) for row in await rounds.listed())


async def test_what_took_its_place_is_what_the_exception_rests_on(rounds: Rounds) -> None:
    """Both name the amendment in force; taken back, both are open, counted and told of so."""
    made = await by_each_rule(rounds)
    assert await states(rounds) == [("amended", made["id"])] * 2
    assert (await rounds.run(TWICE)).verdict["held"] == 0
    await withdraw(rounds, made)
    assert await states(rounds) == [("open", None)] * 2
    async with rounds.transaction() as tx:
        groups = await store.groups(tx, None, rounds.report, samples=0, causes=0)
    assert [(group["open"], group["amended"]) for group in groups] == [(1, 0), (1, 0)]
    reopened = [data["exception_id"] for name, data in await rounds.events() if name == "exception.reopened"]
    assert sorted(reopened) == sorted(str(row["id"]) for row in await rounds.listed())


async def test_so_it_is_with_the_exceptions_of_other_days(rounds: Rounds) -> None:
    """An amendment holds for the report, so the one that takes its place settles what it settled in other runs."""
    first = await rounds.run(("T1", "XXXX", "1"))
    await amended(rounds, NewValue("venue", "YYYY"))
    second = await rounds.run(("T1", "XXXX", "1"))
    made = await amended(rounds, NewValue("venue", "XPAR"), run_id=second.run_id)
    assert (await rounds.one(run_id=first.run_id))["decision_id"] == made["id"]
    await withdraw(rounds, made)
    assert await states(rounds) == [("open", None)] * 2


async def test_an_earlier_day_is_amended_by_what_the_source_had_then(rounds: Rounds) -> None:
    """A later day's amendment of the same record replaces another value: it is not what the earlier day's record has."""
    first = await rounds.run(("T1", "XXXX", "1"))
    second = await rounds.run(("T1", "YYYY", "1"))
    await amended(rounds, NewValue("venue", "XPAR"), run_id=second.run_id)
    made = await amended(rounds, NewValue("venue", "XLON"), run_id=first.run_id)
    assert made["changes"] == {"venue": {"old": "XXXX", "new": "XLON"}}
    assert (await rounds.run(("T1", "XXXX", "1"))).verdict["held"] == 0


@pytest.mark.parametrize("second_person", [False, True])
async def test_so_it_is_with_many_at_once(rounds: Rounds, second_person: bool) -> None:  # noqa: FBT001
    """A filter that means both exceptions of a record leaves one amendment, which both rest on."""
    async with rounds.transaction() as tx:
        await policy.set_policy(tx, Policy(second_person=second_person, revision=0))
    run = await rounds.run(TWICE)
    values = [NewValue("venue", "XPAR", "XXXX", stated=True), NewValue("price", "1", "-1", stated=True)]
    async with rounds.transaction("user:maker") as tx:
        await rounds.amender.amend_many(tx, Choice(Filter(run_id=run.run_id), 2), values, "feed was wrong")
    for row in await rounds.fetch("SELECT id, revision FROM decision WHERE status = 'proposed' ORDER BY id"):
        async with rounds.transaction("user:checker") as tx:
            await decisions.approve(tx, "amendment", row["id"], row["revision"])
    made = await one_decision(rounds, status="active")
    assert await states(rounds) == [("amended", made["id"])] * 2
    await withdraw(rounds, made)
    assert await states(rounds) == [("open", None)] * 2
