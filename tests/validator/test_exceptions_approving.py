"""What one person proposes of many exceptions, another approves at once; a proposal is decided about once."""

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from libs.common.database.pool import Database
from libs.common.errors import Conflict, Forbidden
from services.validator.exceptions import approving, decisions, lapsing, policy, resubmitting, waiving, working
from services.validator.exceptions.amending import NewValue
from services.validator.exceptions.filters import Filter
from services.validator.exceptions.policy import Policy
from services.validator.exceptions.resubmitting import Wish
from services.validator.exceptions.working import Choice
from tests.validator.rounds import Rounds
from tests.validator.test_exceptions_decisions import BAD, LATER

RECORDS = (BAD, ("T5", "XXXX", "1"), ("T6", "XPAR", "-1"), ("T7", "XPAR", "-2"))


@pytest.fixture
async def run(rounds: Rounds) -> UUID:
    """Let a tenant want a second person, and hold four records of a run."""
    async with rounds.transaction() as tx:
        await policy.set_policy(tx, Policy(second_person=True, due_hours=24, revision=0))
    return (await rounds.run(*RECORDS)).run_id


async def propose(rounds: Rounds, run: UUID, actor: str = "user:maker") -> None:
    """Propose an amendment of two and a waiver of the two others."""
    async with rounds.transaction(actor) as tx:
        wanted = Filter(run_id=run, field="venue", value="XXXX")
        await rounds.amender.amend_many(tx, Choice(wanted, 2), [NewValue("venue", "XLON")], "feed")
    async with rounds.transaction(actor) as tx:
        wanted = Filter(run_id=run, rule_id=str(rounds.rules["price positive"]))
        await waiving.waive_many(tx, rounds.objects, Choice(wanted, 2), LATER, "rebates")


async def approve(rounds: Rounds, run: UUID, expected: int, actor: str = "user:other", **wanted: Any) -> None:
    """Approve what is proposed of a run's exceptions."""
    async with rounds.transaction(actor) as tx:
        choice = Choice(Filter(run_id=run, **wanted), expected)
        await approving.approve_many(tx, rounds.objects, choice, "looked at them")


async def test_what_is_proposed_of_many_is_approved_at_once(rounds: Rounds, run: UUID) -> None:
    """Both kinds come into effect with one event; their maker means none of them."""
    await propose(rounds, run)
    async with rounds.transaction("user:maker") as tx:
        assert await working.how_many(tx, "approve", Filter(run_id=run)) == 0
    with pytest.raises(Conflict, match="means 4 exceptions"):
        await approve(rounds, run, 3)
    await approve(rounds, run, 4)
    rows = await rounds.listed(run_id=run)
    assert Counter(row["status"] for row in rows) == {"amended": 2, "waived": 2}
    assert all(row["decision_id"] and not row["proposal_id"] for row in rows)
    made = await rounds.fetch("SELECT status, proposed_by, approved_by, revision FROM decision")
    assert {tuple(row.values()) for row in made} == {("active", "user:maker", "user:other", 2)}
    told = [data for name, data in await rounds.events() if name == "exception.changed_together"]
    assert [(one["action"], one["count"]) for one in told] == [("amend", 2), ("waive", 2), ("approve", 4)]
    assert told[-1]["after"] == {"amended": 2, "waived": 2}
    again = (await rounds.run(*RECORDS)).verdict
    assert (again["held"], again["corrected"], again["waived"]) == (0, 2, 2)


async def test_two_people_approve_once(rounds: Rounds, run: UUID) -> None:
    """The second one is told that there is nothing left; nothing is counted twice."""
    await propose(rounds, run)
    done = await asyncio.gather(
        approve(rounds, run, 4, "user:a"), approve(rounds, run, 4, "user:b"), return_exceptions=True
    )
    assert sorted(type(one) for one in done if one is not None) == [Conflict]
    counted = await rounds.fetch("SELECT sum(open)::int o, sum(amended)::int a, sum(waived)::int w FROM exception_tally "
                                 "WHERE scope = $1 AND evidence = '00000000-0000-0000-0000-000000000000'", run)  # fmt: skip
    assert tuple(counted[0].values()) == (0, 2, 2)


async def test_two_people_propose_once(rounds: Rounds, run: UUID) -> None:
    """Of two that propose at the same time one is refused, and no proposal is left that nobody sees."""

    async def waive(actor: str) -> None:
        async with rounds.transaction(actor) as tx:
            wanted = Filter(run_id=run, rule_id=str(rounds.rules["price positive"]))
            await waiving.waive_many(tx, rounds.objects, Choice(wanted, 2), LATER, "rebates")

    done = await asyncio.gather(waive("user:a"), waive("user:b"), return_exceptions=True)
    assert sorted(type(one) for one in done if one is not None) == [Conflict]
    assert len(await rounds.fetch("SELECT FROM decision")) == 2
    row = await rounds.one(run_id=run, key="T6")
    with pytest.raises(Conflict) as refused:
        async with rounds.transaction("user:b") as tx:
            await waiving.waive(tx, row["id"], row["revision"], LATER, "again")
    assert refused.value.kind == "already-proposed"


async def test_a_person_does_not_approve_by_a_client_of_theirs(rounds: Rounds, run: UUID) -> None:
    """Who answers for the client that proposed, or uses another client, is no second person."""
    await propose(rounds, run, "user:maker")
    row = (await rounds.fetch("SELECT * FROM decision ORDER BY id LIMIT 1"))[0]
    context = replace(rounds.context("client:tool"), owner="user:maker")
    with pytest.raises(Forbidden):
        async with rounds.database.transaction(context) as tx:
            await decisions.approve(tx, row["kind"], row["id"], 1)
    async with rounds.database.transaction(context) as tx:
        assert await working.how_many(tx, "approve", Filter(run_id=run)) == 0
    await approve(rounds, run, 4, "client:tool")


async def test_a_waiver_whose_day_is_past_is_not_approved(rounds: Rounds, run: UUID) -> None:
    """Approved too late it would accept nothing."""
    await propose(rounds, run)
    rounds.now = rounds.now.replace(year=2099, month=1, day=2)
    await approve(rounds, run, 2)
    row = (await rounds.fetch("SELECT * FROM decision WHERE kind = 'waiver' ORDER BY id LIMIT 1"))[0]
    with pytest.raises(Conflict) as refused:
        async with rounds.transaction("user:other") as tx:
            await decisions.approve(tx, "waiver", row["id"], 1)
    assert refused.value.kind == "proposal-expired"


async def test_approved_while_its_record_is_sent_again_it_holds_for_later_runs(rounds: Rounds, run: UUID) -> None:
    """An exception that left the queue meanwhile keeps its status, and can be decided about when it is back."""
    await propose(rounds, run)
    row = await rounds.one(run_id=run, key="T6")
    async with rounds.transaction("user:maker") as tx:
        await resubmitting.resubmit(tx, rounds.objects, row["id"], row["revision"], Wish())
    made = (await rounds.fetch("SELECT * FROM decision WHERE exception_id = $1", row["id"]))[0]
    async with rounds.transaction("user:other") as tx:
        await decisions.approve(tx, "waiver", made["id"], 1)
    after = await rounds.one(run_id=run, key="T6")
    assert (after["status"], after["proposal_id"]) == ("resubmitted", None)
    assert (await rounds.run(RECORDS[2])).verdict["waived"] == 1


@pytest.mark.parametrize("approved", [False, True])
async def test_a_waiver_whose_day_is_past_is_over(
    rounds: Rounds,
    run: UUID,
    databases: dict[str, str],
    approved: bool,  # noqa: FBT001
) -> None:
    """The worker that looks over all tenants ends it, once: proposed it is withdrawn, in force it has expired."""
    await propose(rounds, run)
    if approved:
        await approve(rounds, run, 4)
    url = databases["validator_claimer"]
    async with (
        Database.open(url, service="validator", role="claimer", size=1) as claimer,
        claimer.connection() as connection,
    ):
        before, after = [await lapsing.lapsed(connection, LATER + timedelta(days=n), 1000) for n in (0, 1)]
    assert rounds.tenant not in {row["tenant_id"] for row in before}
    found = [row for row in after if row["tenant_id"] == rounds.tenant]
    assert len(found) == 2
    for row in [*found, *found]:
        async with rounds.transaction("service:validator") as tx:
            await lapsing.lapse(tx, row["id"])
    rows = await rounds.listed(run_id=run, rule_id=str(rounds.rules["price positive"]))
    before, after, event = (
        ("active", "expired", "waiver.expired") if approved else ("proposed", "withdrawn", "waiver.withdrawn")
    )
    assert [(row["status"], row["proposal_id"]) for row in rows] == [("waived" if approved else "open", None)] * 2
    ended = [data for name, data in await rounds.events() if name == event]
    assert [(one["before"], one["after"]) for one in ended] == [(before, after)] * 2
    made = await rounds.fetch("SELECT DISTINCT status, ended_by FROM decision WHERE kind = 'waiver'")
    assert [tuple(row.values()) for row in made] == [(after, "service:validator")]


@pytest.mark.parametrize("second_person", [True, False])
async def test_of_two_amendments_of_a_record_one_is_in_force(rounds: Rounds, second_person: bool) -> None:  # noqa: FBT001
    """A record that two rules hold is amended once, though the filter means both exceptions; one beside it with its key too."""
    async with rounds.transaction() as tx:
        await policy.set_policy(tx, Policy(second_person, due_hours=24, revision=0))
    record = ("T8", "XXXX", "-1")
    run = (await rounds.run(record, record)).run_id
    values = [NewValue("venue", "XLON", "XXXX", stated=True), NewValue("price", "1", "-1", stated=True)]
    async with rounds.transaction("user:maker") as tx:
        await rounds.amender.amend_many(tx, Choice(Filter(run_id=run), 4), values, "feed")
    if second_person:
        await approve(rounds, run, 4)
    assert {row["status"] for row in await rounds.listed(run_id=run)} == {"amended"}
    made = await rounds.fetch("SELECT ordinal, status FROM decision ORDER BY ordinal, status")
    assert [tuple(row) for row in made] == [(1, "active"), (1, "withdrawn"), (2, "active"), (2, "withdrawn")]
    async with rounds.transaction() as tx:
        wanted = Choice(Filter(run_id=run), 4)
        _, sent = await resubmitting.resubmit_many(tx, rounds.objects, wanted, Wish())
    assert sent is not None
    again = await rounds.run(record, record, run_id=sent["correction_run_id"], kind="correction")
    assert (again.verdict["held"], again.verdict["corrected"]) == (0, 4)
