"""Amendments and waivers: made, approved, applied to later runs, and over by themselves."""

import asyncio
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from libs.common.errors import Conflict, Forbidden, Invalid, NotFound, PreconditionFailed
from services.validator.exceptions import decisions, policy, waiving, working
from services.validator.exceptions.amending import NewValue
from services.validator.exceptions.filters import Filter
from services.validator.exceptions.policy import Policy
from services.validator.exceptions.states import WrongStatus
from services.validator.exceptions.working import Choice
from tests.validator.rounds import Rounds

BAD, GOOD = ("T1", "XXXX", "1.5"), ("T2", "XLON", "2")
LATER = date(2099, 1, 1)


async def amended(rounds: Rounds, *values: NewValue, actor: str = "user:1", **wanted: Any) -> Any:
    """Amend the one exception of a filter."""
    row = await rounds.one(status="open", **wanted)
    async with rounds.transaction(actor) as tx:
        return await rounds.amender.amend(tx, row["id"], row["revision"], values, "typed wrongly")


async def one_decision(rounds: Rounds, kind: str = "amendment", status: str | None = None) -> Any:
    """Return the newest decision of a kind."""
    rows = await rounds.fetch("SELECT * FROM decision WHERE kind = $1 ORDER BY id DESC", kind)
    return next(row for row in rows if status in (None, row["status"]))


async def test_an_amendment_lives_and_retires_by_itself(rounds: Rounds) -> None:
    """It applies while the source has the old value, retires when that has the new one; each step is one event."""
    first = await rounds.run(BAD, GOOD)
    assert (first.verdict["held"], first.verdict["corrected"]) == (1, 0)
    made = await amended(rounds, NewValue("venue", "XPAR"))
    assert made["changes"] == {"venue": {"old": "XXXX", "new": "XPAR"}}
    assert (await rounds.one(run_id=first.run_id))["status"] == "amended"
    second = await rounds.run(GOOD, BAD)
    assert (second.verdict["held"], second.verdict["corrected"]) == (0, 1)
    assert second.corrections == [
        {"_ordinal": 2, "key": "T1", "field": "venue", "old_value": "XXXX", "new_value": "XPAR",
         "rule_id": f"amendment:{made['id']}", "rule_version": 1}
    ]  # fmt: skip
    assert (await one_decision(rounds))["last_run_id"] == second.run_id
    third = await rounds.run(("T1", "XPAR", "1.5"), GOOD)
    assert (third.verdict["held"], third.verdict["corrected"]) == (0, 0)
    assert (await one_decision(rounds))["status"] == "retired"
    again = await rounds.run(BAD)
    assert again.verdict["held"] == 1, "what is over is over"
    names = [name for name, _ in await rounds.events() if name.startswith(("amendment", "exception.amended"))]
    assert names == ["amendment.activated", "exception.amended", "amendment.retired"]


async def test_a_source_that_changed_otherwise_is_a_conflict(rounds: Rounds) -> None:
    """The record is held, with a message that names all three values, though no rule fails; then the source decides."""
    await rounds.run(BAD)
    made = await amended(rounds, NewValue("venue", "XPAR"))
    run = await rounds.run(("T1", "XLON", "1.5"), GOOD)
    assert run.verdict["held"] == 1
    (failure,) = run.failures
    assert (failure["rule_id"], failure["severity"], failure["_ordinal"]) == (f"amendment:{made['id']}", "blocking", 1)
    assert all(text in failure["message"] for text in ("'XXXX'", "'XPAR'", "'XLON'"))
    row = await rounds.one(run_id=run.run_id)
    assert row["fields"] == {"venue": "XLON"}
    assert (await one_decision(rounds))["status"] == "conflict"
    with pytest.raises(WrongStatus):
        async with rounds.transaction() as tx:
            await waiving.waive(tx, row["id"], 1, LATER, "no")
    assert (await rounds.run(("T1", "XLON", "1.5"))).verdict["held"] == 0


async def test_an_amendment_that_still_fails_is_amended_again(rounds: Rounds) -> None:
    """The next amendment takes the place of the first and still knows what the source has (the old system failed here)."""
    await rounds.run(BAD)
    first = await amended(rounds, NewValue("venue", "YYYY"))
    second = await rounds.run(BAD)
    assert second.verdict["held"] == 1
    with pytest.raises(Invalid, match="another value"):
        await amended(rounds, NewValue("venue", "XLON", "WRONG", stated=True), run_id=second.run_id)
    again = await amended(rounds, NewValue("venue", "XLON"), run_id=second.run_id)
    assert again["changes"] == {"venue": {"old": "XXXX", "new": "XLON"}}
    third = await rounds.run(BAD)
    assert (third.verdict["held"], [row["new_value"] for row in third.corrections]) == (0, ["XLON"])
    rows = await rounds.fetch("SELECT id, status FROM decision")
    assert {row["id"]: row["status"] for row in rows} == {first["id"]: "withdrawn", again["id"]: "active"}


async def test_values_are_compared_as_what_they_stand_for(rounds: Rounds) -> None:
    """A price amended to 1.50 has caught up with a source that says 1.5, of whatever type its column is."""
    rounds.columns = {"price": pa.decimal128(10, 2)}
    await rounds.run(("T1", "XLON", Decimal("-1.50")))
    await amended(rounds, NewValue("price", "1.2345"))
    applied = await rounds.run(("T1", "XLON", Decimal("-1.50")), ("T3", "XLON", Decimal("3.00")))
    assert (applied.verdict["held"], applied.corrections[0]["new_value"]) == (0, "1.2345")
    rounds.columns = {}
    await rounds.run(("T1", "XLON", "01.23450"))
    assert (await one_decision(rounds))["status"] == "retired"


async def test_records_whose_key_repeats_are_told_apart_by_their_values(rounds: Rounds) -> None:
    """Of two records of one key the amendment applies to the one that has the replaced value, and is no conflict."""
    await rounds.run(BAD, ("T1", "XLON", "7"))
    await amended(rounds, NewValue("venue", "XPAR"))
    run = await rounds.run(("T1", "XLON", "7"), BAD)
    assert (run.verdict["held"], [row["_ordinal"] for row in run.corrections]) == (0, [2])
    assert (await one_decision(rounds))["status"] == "active"


@pytest.mark.parametrize(
    ("value", "field"),
    [
        (NewValue("price", "cheap"), "/changes/0/value"),
        (NewValue("venue", "TOOLONG"), "/changes/0/value"),
        (NewValue("nothing", "x"), "/changes/0/field"),
        (NewValue("id", "T9"), "/changes/0/field"),
        (NewValue("price", "3"), "/changes/0/replaces"),
        (NewValue("venue", "XXXX"), "/changes/0/value"),
        (NewValue("price", None, "", stated=True), "/changes/0/value"),
        (NewValue("venue", "XPAR", "WRONG", stated=True), "/changes/0/replaces"),
    ],
    ids=["type", "length", "unknown", "key", "unseen", "same", "empty", "stale"],
)
async def test_what_does_not_fit_is_refused_by_name(rounds: Rounds, value: NewValue, field: str) -> None:
    """A value of another type, an unknown or key field, an unknown old value: each names its place; nothing is kept."""
    await rounds.run(("T1", "XXXX", "4"))
    with pytest.raises(Invalid) as refused:
        await amended(rounds, value)
    assert next(problem.field for problem in refused.value.fields) == field
    assert await rounds.fetch("SELECT FROM decision") == []
    assert (await rounds.one(key="T1"))["revision"] == 1


async def test_a_field_that_is_not_shown_is_amended_with_what_it_replaces(rounds: Rounds) -> None:
    """Who states what the source has may amend any field, also to nothing."""
    await rounds.run(BAD)
    await amended(rounds, NewValue("venue", "XLON"), NewValue("price", None, "1.5", stated=True))
    run = await rounds.run(BAD)
    assert run.verdict["held"] == 0
    assert {(row["field"], row["new_value"]) for row in run.corrections} == {("venue", "XLON"), ("price", None)}


async def test_a_waiver_lets_the_same_failure_out_until_its_day(rounds: Rounds) -> None:
    """The record goes out and is counted as waived; other values, other rules and later days hold it again."""
    first = await rounds.run(BAD, GOOD)
    row = await rounds.one(run_id=first.run_id)
    async with rounds.transaction() as tx:
        await waiving.waive(tx, row["id"], 1, LATER, "new venue")
    rounds_later = await rounds.run(BAD, ("T9", "XXXX", "1"))
    assert (rounds_later.verdict["held"], rounds_later.verdict["waived"]) == (1, 1)
    assert {(one["key"], one["severity"]) for one in rounds_later.failures} == {("T1", "waived"), ("T9", "blocking")}
    counts = {one["name"]: (one["failed"], one["waived"]) for one in rounds_later.verdict["counts"]}
    assert counts["venue known"] == (2, 1)
    other = await rounds.run(("T1", "YYYY", "1.5"))
    both = await rounds.run(("T1", "XXXX", "-1"))
    assert (other.verdict["held"], both.verdict["held"], both.verdict["waived"]) == (1, 1, 1)


async def test_an_expired_waiver_waives_nothing(rounds: Rounds) -> None:
    """A waiver ends with its last day; one that would end yesterday is refused."""
    row = await rounds.one(run_id=(await rounds.run(BAD)).run_id)
    with pytest.raises(Invalid):
        async with rounds.transaction() as tx:
            await waiving.waive(tx, row["id"], 1, rounds.now.date() - timedelta(days=1), "too late")
    async with rounds.transaction() as tx:
        await waiving.waive(tx, row["id"], 1, rounds.now.date(), "today only")
    assert (await rounds.run(BAD)).verdict["held"] == 1, "the worker's day is years after"


async def test_a_second_person_decides_where_the_tenant_wants_it(rounds: Rounds) -> None:
    """A proposal changes nothing until another approves it; its maker cannot, and nobody can twice."""
    async with rounds.transaction() as tx:
        await policy.set_policy(tx, Policy(second_person=True, due_hours=24, revision=0))
    first = await rounds.run(BAD)
    made = await amended(rounds, NewValue("venue", "XPAR"), actor="user:maker")
    assert made["status"] == "proposed"
    row = await rounds.one(run_id=first.run_id)
    assert (row["status"], row["proposal_id"]) == ("open", made["id"])
    assert (await rounds.run(BAD)).verdict["held"] == 1
    with pytest.raises(Forbidden):
        async with rounds.transaction("user:maker") as tx:
            await decisions.approve(tx, "amendment", made["id"], 1)

    async def approve(actor: str) -> bool:
        try:
            async with rounds.transaction(actor) as tx:
                await decisions.approve(tx, "amendment", made["id"], 1)
        except (PreconditionFailed, Conflict):
            return False
        return True

    assert sorted(await asyncio.gather(approve("user:a"), approve("user:b"))) == [False, True]
    assert (await rounds.one(run_id=first.run_id))["status"] == "amended"
    assert (await rounds.run(BAD)).verdict["held"] == 0
    names = [name for name, _ in await rounds.events() if name.startswith("amendment")]
    assert names == ["amendment.proposed", "amendment.activated"]


async def test_what_is_taken_back_opens_its_exception(rounds: Rounds) -> None:
    """A withdrawn waiver waives nothing, and its exception waits again; what is over cannot be withdrawn."""
    row = await rounds.one(run_id=(await rounds.run(BAD)).run_id)
    async with rounds.transaction() as tx:
        made = await waiving.waive(tx, row["id"], 1, LATER, "new venue")
    async with rounds.transaction() as tx:
        await decisions.withdraw(tx, "waiver", made["id"], 1, "was wrong")
    after = await rounds.one(key="T1")
    assert (after["status"], after["decision_id"]) == ("open", None)
    assert (await rounds.run(BAD)).verdict["held"] == 1
    with pytest.raises(Conflict):
        async with rounds.transaction() as tx:
            await decisions.withdraw(tx, "waiver", made["id"], 2, "again")
    with pytest.raises(NotFound):
        async with rounds.transaction() as tx:
            await decisions.withdraw(tx, "amendment", made["id"], 2, "of another kind")


async def test_many_are_decided_alike(rounds: Rounds) -> None:
    """A filter's exceptions are amended and waived at once, with one event each time."""
    run = await rounds.run(BAD, ("T5", "XXXX", "1"), ("T6", "XXXX", "-1"))
    venue = Filter(run_id=run.run_id, field="venue", value="XXXX")
    price = Filter(run_id=run.run_id, rule_id=str(rounds.rules["price positive"]))
    async with rounds.transaction() as tx:
        assert await working.how_many(tx, "amend", venue) == 3
    async with rounds.transaction() as tx:
        await rounds.amender.amend_many(tx, Choice(venue, 3), [NewValue("venue", "XLON")], "feed was wrong")
    async with rounds.transaction() as tx:
        await waiving.waive_many(tx, rounds.objects, Choice(price, 1), LATER, "a rebate")
    again = await rounds.run(BAD, ("T5", "XXXX", "1"), ("T6", "XXXX", "-1"))
    assert (again.verdict["held"], again.verdict["corrected"], again.verdict["waived"]) == (0, 3, 1)
    events = [data for name, data in await rounds.events() if name == "exception.changed_together"]
    assert [(data["action"], data["count"]) for data in events] == [("amend", 3), ("waive", 1)]
    linked = await rounds.fetch(
        "SELECT FROM exception e JOIN decision d ON d.exception_id = e.id AND d.id = e.decision_id"
    )
    assert len(linked) == 4


async def test_what_is_refused_of_many_names_its_record(rounds: Rounds) -> None:
    """Of many that are decided alike one may not fit: it is said which one, and nothing is decided of any."""
    run = await rounds.run(BAD, ("T5", "YYYY", "1"), ("T6", "XXXX", "much"))
    venue = Choice(Filter(run_id=run.run_id, rule_id=str(rounds.rules["venue known"])), 3)
    for value, places in (
        (NewValue("venue", "YYYY"), ("T5",)),
        (NewValue("venue", "XLON", "YYYY", stated=True), ("T1", "T6")),
    ):
        with pytest.raises(Invalid) as refused:
            async with rounds.transaction() as tx:
                await rounds.amender.amend_many(tx, venue, [value], "feed was wrong")
        assert any(f"record '{key}'" in refused.value.fields[0].message for key in places)
    with pytest.raises(WrongStatus, match="schema:price:type of record 'T6'"):
        async with rounds.transaction() as tx:
            await waiving.waive_many(tx, rounds.objects, Choice(Filter(run_id=run.run_id), 4), LATER, "x")
    assert await rounds.fetch("SELECT FROM decision") == []


async def test_a_trial_changes_nothing(rounds: Rounds) -> None:
    """A backtest of an old dataset neither applies nor ends a decision."""
    await rounds.run(BAD)
    await amended(rounds, NewValue("venue", "XPAR"))
    assert (await rounds.run(BAD, kind="backtest")).verdict["held"] == 1
    await rounds.run(("T1", "XPAR", "1"), kind="backtest")
    assert (await one_decision(rounds))["status"] == "active"


async def test_what_a_schema_refuses_is_waived_where_it_stays_what_it_is(rounds: Rounds) -> None:
    """A text that is too long goes out as it is; a value of another type, or no key, cannot go out at all."""
    records = (("T1", "XLONDON", "1"), ("T2", "XLON", "much"), (None, "XLON", "1"))
    run = await rounds.run(*records)
    rows = {row["rule_id"]: row for row in await rounds.listed(run_id=run.run_id)}
    for rule in ("schema:price:type", "schema:id:required"):
        with pytest.raises(WrongStatus) as refused:
            async with rounds.transaction() as tx:
                await waiving.waive(tx, rows[rule]["id"], 1, LATER, "x")
        assert refused.value.kind == "not-waivable"
    for row in await rounds.listed(run_id=run.run_id, key="T1"):
        async with rounds.transaction() as tx:
            await waiving.waive(tx, row["id"], 1, LATER, "their name for it")
    again = await rounds.run(*records)
    assert (again.verdict["held"], again.verdict["waived"]) == (2, 2)
