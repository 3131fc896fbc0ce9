"""Sending records again: asked once, carried out once, and exceptions that close or open with the new verdict."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from libs.common.errors import Conflict, Invalid, NotFound, PreconditionFailed
from libs.common.events.envelope import Event
from services.validator.exceptions import concluding, resubmitting, store
from services.validator.exceptions.amending import NewValue
from services.validator.exceptions.filters import Filter
from services.validator.exceptions.resubmitting import Wish
from services.validator.exceptions.working import Choice
from tests.validator.rounds import Round, Rounds
from tests.validator.test_exceptions_decisions import BAD, GOOD, amended

WORSE = ("T3", "YYYY", "-1")


async def resubmitted(rounds: Rounds, run: UUID, **wanted: Any) -> Any:
    """Resubmit the exceptions of a filter; return the resubmission."""
    chosen = Filter(run_id=run, **wanted)
    async with rounds.transaction() as tx:
        count = len(await rounds.listed(run_id=run, **wanted))
        _, sent = await resubmitting.resubmit_many(tx, rounds.objects, Choice(chosen, count), Wish())
        return sent


async def ended(rounds: Rounds, sent: Any, after: str, left: list[dict[str, Any]] | None = None, **more: Any) -> None:
    """Tell of the correction's end twice, as the bus may, and let the worker see to it, twice."""
    reference = None
    if left:
        path = rounds.home / f"{uuid4()}.parquet"
        pq.write_table(pa.Table.from_pylist(left), path)
        sealed = await rounds.objects.put_file(f"{rounds.tenant}/runs/{uuid4()}/left.parquet", path)
        reference = {"key": sealed.key, "sha256": sealed.sha256, "size": sealed.size}
    data = {
        "run_id": str(sent["correction_run_id"]), "report_id": str(rounds.report), "business_date": "2026-03-02",
        "before": "running", "after": after, "kind": "correction", "delivered": after in ("succeeded", "partial"),
        "not_out": reference, "reason": "for a test", **more,
    }  # fmt: skip
    for _ in range(2):
        event = Event(
            specversion="1.0", id=uuid4(), source="runner", type=f"runner.run.{after}.v1", subject="s",
            time=rounds.now, dataschema="d", tenantid=rounds.tenant, actor="service:runner", sequence=1, data=data,
        )  # fmt: skip
        async with rounds.transaction("service:validator") as tx:
            await concluding.on_run_ended(tx, event)
    jobs = await rounds.fetch(
        "SELECT request_id FROM job WHERE task = 'conclude' AND run_id = $1", sent["correction_run_id"]
    )
    for job in jobs * 2:
        await rounds._worker().work({"tenant_id": str(rounds.tenant), "request_id": str(job["request_id"])})


async def judged_again(rounds: Rounds, sent: Any, *records: Any) -> Round:
    """Judge the correction's records."""
    return await rounds.run(*records, run_id=sent["correction_run_id"], kind="correction")


async def test_only_the_chosen_records_are_sent_again_and_close(rounds: Rounds) -> None:
    """The request names the ordinals of the chosen records; when they are out, their exceptions are closed."""
    run = await rounds.run(GOOD, BAD, WORSE)
    await amended(rounds, NewValue("venue", "XPAR"), key="T1")
    sent = await resubmitted(rounds, run.run_id, key="T1")
    (asked,) = [data for name, data in await rounds.events() if name == "resubmission.requested"]
    assert (asked["records"], asked["correction_run_id"]) == (1, str(sent["correction_run_id"]))
    path = rounds.home / "ordinals.parquet"
    await rounds.objects.fetch(asked["ordinals"]["key"], asked["ordinals"]["sha256"], path)
    assert pq.read_table(path).to_pydict() == {"_ordinal": [2]}
    again = await judged_again(rounds, sent, BAD)
    assert (again.verdict["held"], again.verdict["corrected"]) == (0, 1), "applied to the record by its place"
    await ended(rounds, sent, "succeeded")
    rows = await rounds.listed(run_id=run.run_id)
    assert [(row["key"], row["status"], row["resolution"]) for row in rows] == [
        ("T1", "closed", "reported"), ("T3", "open", None), ("T3", "open", None),
    ]  # fmt: skip
    ends = [data for name, data in await rounds.events() if name == "resubmission.ended"]
    assert [(one["closed"], one["reopened"]) for one in ends] == [(1, 0)]
    async with rounds.transaction() as tx:
        groups = {one["rule_name"]: one for one in await store.groups(tx, run.run_id, None, samples=1, causes=1)}
    assert (groups["venue known"]["open"], groups["venue known"]["closed"]) == (1, 1)


@pytest.mark.parametrize("step", ["validate", "transform"])
async def test_what_fails_again_opens_with_the_new_verdict(rounds: Rounds, step: str) -> None:
    """A record that is held again: its exception opens with the new values, another rule's new one beside, a passed one closes."""
    run = await rounds.run(GOOD, WORSE)
    first = {row["rule_name"]: row for row in await rounds.listed(run_id=run.run_id)}
    await amended(rounds, NewValue("venue", "ZZZZ"), key="T3", rule_id=str(rounds.rules["venue known"]))
    sent = await resubmitted(rounds, run.run_id, status="amended")
    assert {row["status"] for row in await rounds.listed(run_id=run.run_id)} == {"resubmitted"}, "the whole record"
    again = await judged_again(rounds, sent, ("T3", "YYYY", "5"))
    assert again.verdict["held"] == 1
    await ended(rounds, sent, "partial", [
        {"_ordinal": 1, "disposition": "held", "step": step, "message": "venue"}
    ])  # fmt: skip
    rows = {row["rule_name"]: row for row in await rounds.listed(run_id=run.run_id)}
    venue, price = rows["venue known"], rows["price positive"]
    assert (venue["id"], venue["status"], venue["fields"]) == (first["venue known"]["id"], "open", {"venue": "ZZZZ"})
    assert venue["opened_at"] == first["venue known"]["opened_at"]
    assert (price["status"], price["resolution"]) == ("closed", "passed")
    assert [row["id"] for row in await rounds.listed(field="venue", value="ZZZZ")] == [venue["id"]]
    assert {row["id"] for row in await rounds.listed(run_id=run.run_id, status="open")} == {venue["id"]}
    again = await resubmitted(rounds, run.run_id, status="open")
    assert again["ordinals"] == [2]


@pytest.mark.parametrize(("after", "delivered"), [("failed", False), ("cancelled", False), ("partial", False)])
async def test_what_reached_nobody_is_open_again(rounds: Rounds, after: str, delivered: bool) -> None:  # noqa: FBT001
    """A correction that failed, was cancelled or could not be delivered closes nothing and says why."""
    run = await rounds.run(BAD)
    sent = await resubmitted(rounds, run.run_id)
    await ended(rounds, sent, after, delivered=delivered)
    row = await rounds.one(run_id=run.run_id)
    assert row["status"] == "open"
    lines = await rounds.fetch("SELECT action, comment FROM exception_history ORDER BY id")
    assert [line["action"] for line in lines] == ["resubmitted", "reopened"]
    assert "for a test" in lines[1]["comment"]


async def test_two_people_send_a_record_once(rounds: Rounds) -> None:
    """Of several requests for the same record at the same moment one counts."""
    run = await rounds.run(BAD, WORSE)
    row = (await rounds.listed(run_id=run.run_id))[0]

    async def send() -> bool:
        try:
            async with rounds.transaction() as tx:
                await resubmitting.resubmit(tx, rounds.objects, row["id"], row["revision"], Wish())
        except (Conflict, PreconditionFailed):
            return False
        return True

    assert sorted(await asyncio.gather(*(send() for _ in range(4)))) == [False, False, False, True]
    assert len(await rounds.fetch("SELECT FROM resubmission")) == 1


async def test_exceptions_of_two_runs_or_of_others_are_not_sent(rounds: Rounds) -> None:
    """A correction is of one run; another tenant's ids are nobody's."""
    first, second = await rounds.run(BAD), await rounds.run(BAD)
    with pytest.raises(Invalid):
        async with rounds.transaction() as tx:
            await resubmitting.resubmit_many(tx, rounds.objects, Choice(Filter(key="T1"), 2), Wish())
    row = await rounds.one(run_id=second.run_id)
    rounds.tenant = uuid4()
    with pytest.raises(NotFound):
        async with rounds.transaction() as tx:
            await resubmitting.resubmit(tx, rounds.objects, row["id"], 1, Wish())
    assert first.run_id != second.run_id


async def test_records_whose_key_repeats_are_sent_by_their_place(rounds: Rounds) -> None:
    """Two records of one key: the correction takes the one that failed, and the amendment meets that one only."""
    run = await rounds.run(("T1", "XLON", "2"), BAD, ("T1", "XXXX", "9"))
    rows = await rounds.listed(run_id=run.run_id)
    async with rounds.transaction() as tx:
        await rounds.amender.amend(tx, rows[1]["id"], 1, [NewValue("venue", "XPAR")], "the third is Paris")
    sent = await resubmitted(rounds, run.run_id)
    assert sent["ordinals"] == [2, 3]
    again = await judged_again(rounds, sent, BAD, ("T1", "XXXX", "9"))
    assert ([row["_ordinal"] for row in again.corrections], again.verdict["held"]) == ([2], 1)
    assert [(row["ordinal"], row["status"]) for row in await rounds.listed(run_id=run.run_id)] == [
        (2, "open"), (3, "resubmitted"),
    ]  # fmt: skip
