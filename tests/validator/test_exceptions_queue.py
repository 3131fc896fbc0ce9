"""The queue: opening, working, counting, and what two people do at the same time."""

import asyncio
from datetime import timedelta
from uuid import uuid4

import pytest

from libs.common.errors import Conflict, Invalid, NotFound, PreconditionFailed
from services.validator.exceptions import opening, policy, states, store, working
from services.validator.exceptions.evidence import NOTHING
from services.validator.exceptions.filters import Filter
from services.validator.exceptions.policy import Policy
from services.validator.exceptions.working import Choice
from tests.validator.queue import Queue, failure

_COUNTED = """
SELECT count(*) FILTER (WHERE status = 'open') AS open, count(*) FILTER (WHERE status = 'closed') AS closed, count(*) AS records
FROM exception WHERE rule_id = $1 AND ($2::uuid IS NULL OR run_id = $2)
"""


async def test_exceptions_open_once_and_are_counted_exactly(queue: Queue) -> None:
    """Opening twice opens once; the groups of the run, the report and all say what a count of the rows says (S32)."""
    failures = [failure(n, fields={"venue": f"V{n % 3}"}) for n in range(1, 31)] + [failure(1, "r2", {"price": "-1"})]
    run = await queue.open(failures)
    await queue.open(failures, run)
    other = await queue.open([failure(7)])
    async with queue.transaction() as tx:
        of_run, of_report, of_all = [
            await store.groups(tx, *scope, samples=2, causes=5)
            for scope in ((run, None), (None, queue.report), (None, None))
        ]
    assert [(one["rule_id"], one["records"], one["open"]) for one in of_run] == [("r1", 30, 30), ("r2", 1, 1)]
    assert (
        [(one["rule_id"], one["records"]) for one in of_report]
        == [("r1", 31), ("r2", 1)]
        == [(one["rule_id"], one["records"]) for one in of_all]
    )
    assert {(one["fields"]["venue"], one["open"]) for one in of_run[0]["causes"]} == {
        ("V0", 10),
        ("V1", 10),
        ("V2", 10),
    }
    assert [one["ordinal"] for one in of_run[0]["samples"]] == [1, 2]
    assert of_run[0]["oldest"] == queue.now
    for scope, group in ((run, of_run), (None, of_all), (other, None)):
        (counted,) = await queue.fetch(_COUNTED, "r1", scope)
        assert group is None or group[0]["records"] == counted["records"]


async def test_causes_of_one_rule_are_bounded(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule that refuses a million different values does not count each of them; the rule's own count is exact."""
    monkeypatch.setattr(opening, "_MOST_CAUSES", 5)
    run = await queue.open([failure(n, fields={"venue": f"V{n}"}) for n in range(1, 21)])
    await queue.open([failure(n, fields={"venue": f"V{n}"}) for n in range(21, 31)], run)
    async with queue.transaction() as tx:
        (group,) = await store.groups(tx, run, None, samples=0, causes=50)
    assert group["open"] == 30
    assert len(group["causes"]) == 5
    assert group["samples"] == []


async def test_every_filter_finds_its_own(queue: Queue) -> None:
    """Status, assignee, report, run, rule, day, key, cause, value and age choose what they say."""
    run = await queue.open(
        [failure(1), failure(2, fields={"venue": "YYYY", "isin": None}), failure(2, "r2", {"p": "1"})]
    )
    queue.now += timedelta(days=3)
    later = await queue.open([failure(1)])
    first = (await queue.listed(run_id=run))[0]
    user = uuid4()
    async with queue.transaction() as tx:
        await working.assign(tx, first["id"], 1, user, "")
    found = {
        "status": (await queue.listed(status="open"), 4),
        "none": (await queue.listed(status="closed"), 0),
        "assignee": (await queue.listed(assignee=user), 1),
        "unassigned": (await queue.listed(unassigned=True), 3),
        "run": (await queue.listed(run_id=later), 1),
        "report": (await queue.listed(report_id=uuid4()), 0),
        "rule": (await queue.listed(rule_id="r2"), 1),
        "day": (await queue.listed(business_date="2026-03-02"), 4),
        "key": (await queue.listed(key="T1"), 2),
        "cause": (await queue.listed(cause=first["cause"]), 2),
        "value": (await queue.listed(field="venue", value="YYYY"), 1),
        "value of another field": (await queue.listed(field="isin", value="YYYY"), 0),
        "value and run": (await queue.listed(field="venue", value="XXXX", run_id=later), 1),
        "age": (await queue.listed(older_than=timedelta(days=2)), 3),
    }
    assert {name: len(rows) for name, (rows, _) in found.items()} == {
        name: wanted for name, (_, wanted) in found.items()
    }
    assert [row["overdue"] for row in await queue.listed(key="T1")] == [True, False]


async def test_each_change_is_one_event_and_one_line_of_history(queue: Queue) -> None:
    """Assigning and commenting say who, when, what, old and new value, once (S28)."""
    run = await queue.open([failure(1)])
    row, user = await queue.one(run_id=run), uuid4()
    async with queue.transaction("user:maker") as tx:
        await working.assign(tx, row["id"], 1, user, "please look")
    async with queue.transaction("user:other") as tx:
        await working.comment(tx, row["id"], "the venue is new")
    lines = await queue.fetch("SELECT actor, action, old, new, comment FROM exception_history ORDER BY id")
    assert [tuple(line.values()) for line in lines] == [
        ("user:maker", "assigned", {"assignee": None}, {"assignee": str(user)}, "please look"),
        ("user:other", "commented", {}, {}, "the venue is new"),
    ]
    (assigned, commented) = await queue.events()
    assert (assigned[0], assigned[1]["before"], assigned[1]["after"]) == (
        "exception.assigned", {"assignee": None}, {"assignee": str(user)},
    )  # fmt: skip
    assert (commented[0], commented[1]["comment"]) == ("exception.commented", "the venue is new")
    assert (await queue.one(run_id=run))["revision"] == 2


async def test_two_people_cannot_overwrite_each_other(queue: Queue) -> None:
    """Of two changes against the same revision one counts, also at the same moment."""
    row = await queue.one(run_id=await queue.open([failure(1)]))

    async def assign() -> bool:
        try:
            async with queue.transaction() as tx:
                await working.assign(tx, row["id"], 1, uuid4(), "")
        except PreconditionFailed:
            return False
        return True

    assert sorted(await asyncio.gather(*(assign() for _ in range(4)))) == [False, False, False, True]
    assert len(await queue.events()) == 1


async def test_many_are_changed_only_as_seen(queue: Queue) -> None:
    """An action on a filter names how many were seen; with another number nothing happens; one event says it all."""
    run = await queue.open([failure(n) for n in range(1, 251)])
    wanted, user = Filter(run_id=run, rule_id="r1"), uuid4()
    async with queue.transaction() as tx:
        assert await working.how_many(tx, "assign", wanted) == 250
    with pytest.raises(Conflict) as refused:
        async with queue.transaction() as tx:
            await working.assign_many(tx, queue.objects, Choice(wanted, 249), user, "")
    assert refused.value.extra == {"matching": 250}
    async with queue.transaction() as tx:
        await working.assign_many(tx, queue.objects, Choice(wanted, 250), user, "all yours")
    ((name, data),) = await queue.events()
    assert (name, data["count"], data["filter"]) == (
        "exception.changed_together", 250, {"run_id": str(run), "rule_id": "r1"},
    )  # fmt: skip
    listed = await queue.objects.get(data["listed"]["key"], data["listed"]["sha256"])
    assert listed.count(b"-") == 250 * 4
    (lines,) = await queue.fetch("SELECT count(*) FROM exception_history WHERE comment = 'all yours'")
    assert lines["count"] == 250 == len(await queue.listed(assignee=user))


async def test_too_many_at_once_are_refused(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    """An action that would hit more than the limit is told so, and holds nothing up."""
    monkeypatch.setattr(working, "MOST", 3)
    run = await queue.open([failure(n) for n in range(1, 6)])
    with pytest.raises(Invalid):
        async with queue.transaction() as tx:
            await working.assign_many(tx, queue.objects, Choice(Filter(run_id=run), 5), None, "")


async def test_ids_of_others_are_nobodys(queue: Queue) -> None:
    """Another tenant's exception is not there: neither to read nor to change."""
    row = await queue.one(run_id=await queue.open([failure(1)]))
    queue.tenant = uuid4()
    with pytest.raises(NotFound):
        async with queue.transaction() as tx:
            await working.assign(tx, row["id"], 1, None, "")
    async with queue.transaction() as tx:
        assert await working.how_many(tx, "assign", Filter()) == 0
        assert await store.groups(tx, None, None, samples=3, causes=3) == []


async def test_the_policy_has_a_default_and_a_revision(queue: Queue) -> None:
    """What is due when follows the tenant's choice; two first choices at once leave one."""
    async with queue.transaction() as tx:
        assert await policy.policy_of(tx) == Policy(second_person=False, due_hours=24, revision=0)

    async def choose(hours: int) -> bool:
        try:
            async with queue.transaction() as tx:
                await policy.set_policy(tx, Policy(second_person=True, due_hours=hours, revision=0))
        except PreconditionFailed:
            return False
        return True

    assert sorted(await asyncio.gather(choose(4), choose(4))) == [False, True]
    row = await queue.one(run_id=await queue.open([failure(1)]))
    assert row["due_at"] - row["opened_at"] == timedelta(hours=4)
    assert [name for name, _ in await queue.events()] == ["exception_policy.changed"]


def test_the_life_of_an_exception_is_closed() -> None:
    """Every status that may follow is one, and each can be reached."""
    following = set().union(*states.TRANSITIONS.values())
    assert following == set(states.STATUSES)
    assert NOTHING.int == 0
