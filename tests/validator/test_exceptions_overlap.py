"""Corrections one after the other, of the same records: what each of them found goes with its own verdict."""

from datetime import timedelta
from uuid import uuid4

import pytest

from libs.common.database.transaction import Transaction
from libs.common.errors import Conflict
from services.validator import store as jobs
from services.validator.exceptions import resubmitting, waiving
from services.validator.exceptions.filters import Filter
from services.validator.exceptions.resubmitting import Wish
from services.validator.exceptions.verdicts import Opener
from services.validator.exceptions.working import Choice
from tests.validator.crossing import cross
from tests.validator.queue import DAY, Queue, failure
from tests.validator.test_exceptions_corrections import Correction
from tests.validator.test_exceptions_crossing import withdrawal

FOUND = [failure(1, "r1", key="T4"), failure(1, "r2", key="T4"), *(failure(1, f"r{n}", key="T4") for n in (7, 8, 9))]


@pytest.fixture
async def first(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> Correction:
    """Send the one record of a run again."""
    monkeypatch.setattr("services.validator.exceptions.opening._CHUNK", 2)
    made = Correction(queue, await queue.open([failure(4)]))
    await made.send(1)
    return made


async def again(made: Correction, count: int) -> Correction:
    """Send the same record again."""
    second = Correction(made.queue, made.parent)
    await second.send(count)
    return second


async def tell(made: Correction, opener: Opener) -> None:
    """Tell a correction's verdict."""
    async with made.queue.transaction("service:validator") as tx:
        assert await jobs.end_job(tx, made.request_id, 1, "done")
        await opener.open_last(tx)


async def found(made: Correction) -> dict[str, tuple[str, str | None]]:
    """Return status and resolution by rule."""
    return {rule: (status, resolution) for _, rule, status, resolution, _ in await made.seen()}


OPEN, VOID, SENT = ("open", None), ("closed", "void"), ("resubmitted", None)


async def test_a_record_that_is_being_judged_again_is_not_sent_again(first: Correction) -> None:
    """Two corrections would open and close the same exceptions; what the first one found is sent with its verdict."""
    opener = await first.judge(FOUND[:3])
    assert await found(first) == {"r1": OPEN, "r2": OPEN}
    with pytest.raises(Conflict, match="being judged"):
        await again(first, 2)
    await tell(first, opener)
    await again(first, 3)
    assert await found(first) == {"r1": SENT, "r2": SENT, "r7": SENT}


async def test_a_record_is_sent_again_whole_in_the_very_moment_of_its_verdict(first: Correction) -> None:
    """Who sends it waits for the verdict, and sends what that opens last as well: nothing is left behind."""
    opener = await first.judge(FOUND[:3])

    async def tells(tx: Transaction) -> None:
        assert await jobs.end_job(tx, first.request_id, 1, "done")
        await opener.open_last(tx)

    async def sends(tx: Transaction) -> None:
        choice = Choice(Filter(run_id=first.parent), 2)
        await resubmitting.resubmit_many(tx, first.queue.objects, choice, Wish())

    await cross(first.queue, tells, sends)
    assert await found(first) == {"r1": SENT, "r2": SENT, "r7": SENT}


async def test_a_record_of_a_run_that_is_being_judged_is_not_sent_again(queue: Queue) -> None:
    """More may be found of it, which its correction would not settle."""
    run = uuid4()
    asked = {"run_id": str(run), "report_id": str(queue.report), "phase": "input", "kind": "report"}
    async with queue.transaction("service:validator") as tx:
        assert await jobs.add_job(tx, uuid4(), run, asked)
    await queue.open([failure(1)], run=run)
    await queue.open([failure(2)], run=run, phase="output")
    with pytest.raises(Conflict, match="being judged"):
        await Correction(queue, run).send(1, key="T1")
    await Correction(queue, run).send(1, key="T2")


@pytest.mark.parametrize("closed_first", [False, True], ids=["first-voids-late", "first-voids-early"])
@pytest.mark.parametrize("judges", [False, True], ids=["second-not-judged", "second-half-judged"])
async def test_two_corrections_tell_no_verdict(first: Correction, *, judges: bool, closed_first: bool) -> None:
    """The second began before what the first one found was closed, or after: neither leaves any of it."""
    await first.judge(FOUND[:3])
    await first.fail()
    await first.work("conclude", *(["void"] if closed_first else []))
    second = await again(first, 1 if closed_first else 2)
    if judges:
        await second.judge(FOUND[:4])
    await first.work("void")
    await (second.fail() if judges else second.over("failed"))
    await second.work("conclude", "void")
    assert await found(first) == {"r1": OPEN, "r2": VOID}
    assert await first.queue.fetch("SELECT FROM job WHERE status = 'queued'") == []


async def test_the_second_correction_tells_its_verdict(first: Correction) -> None:
    """What the first one found and the second one finds as well is the second one's: the first one closes none of it."""
    await first.judge(FOUND[:3])
    await first.fail()
    await first.work("conclude")
    second = await again(first, 2)
    await tell(second, await second.judge(FOUND[:4]))
    await first.work("void")
    await second.over("failed")
    await second.work("conclude", "void")
    assert await found(first) == dict.fromkeys(("r1", "r2", "r7", "r8"), OPEN)


async def test_what_a_told_verdict_found_outlives_a_later_one_that_is_not_told(first: Correction) -> None:
    """The second correction found it again and told nothing: the first one's verdict holds."""
    await tell(first, await first.judge(FOUND[:2]))
    await first.over("failed")
    await first.work("conclude")
    second = await again(first, 2)
    await second.judge(FOUND[:4])
    await second.fail()
    await second.work("conclude", "void")
    assert await found(first) == {"r1": OPEN, "r2": OPEN}


async def test_what_closed_and_is_found_again_by_a_verdict_that_is_not_told_closes_again(first: Correction) -> None:
    """It was nobody's work before."""
    await tell(first, await first.judge(FOUND[1:2]))
    await first.over("succeeded", delivered=True)
    await first.work("conclude")
    assert (await found(first))["r1"][0] == "closed"
    second = await again(first, 1)
    await second.judge([*FOUND[:2], FOUND[4]])
    await second.fail()
    await second.work("conclude", "void")
    assert await found(first) == {"r1": VOID, "r2": OPEN}


async def test_a_decision_about_a_finding_is_withdrawn_when_its_verdict_is_never_told(first: Correction) -> None:
    """What rests on nothing but the decision closes as the rest did."""
    await first.judge(FOUND[1:4])
    row = await first.queue.one(run_id=first.parent, rule_id="r2")
    async with first.queue.transaction() as tx:
        await waiving.waive(tx, row["id"], row["revision"], DAY + timedelta(days=900), "known")
    await first.fail()
    await first.work("conclude", "void")
    assert (await found(first))["r2"] == ("waived", None)
    async with first.queue.transaction() as tx:
        await (await withdrawal(first.queue))(tx)
    await first.work("void")
    assert await found(first) == {"r1": OPEN, "r2": VOID, "r7": VOID}
