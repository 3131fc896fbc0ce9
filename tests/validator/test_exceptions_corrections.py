"""What a correction run finds is provisional until its verdict; where that is never told, only that closes by itself."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from libs.common.events.runner import RunEnded, ValidationRequested
from services.validator import commands, handlers
from services.validator import store as jobs
from services.validator.exceptions import concluding, opening, resubmitting, store, unsealed, waiving
from services.validator.exceptions.filters import Filter
from services.validator.exceptions.resubmitting import Wish
from services.validator.exceptions.unsealed import void_job
from services.validator.exceptions.verdicts import Opener
from services.validator.exceptions.working import Choice
from services.validator.jail.sealing import FAILURES
from tests.validator.queue import DAY, Queue, failure, run_ended

LEASE = timedelta(seconds=30)


class Correction:
    """A resubmission of a run's first three records, whose validation fails them by two rules and tells no verdict yet."""

    def __init__(self, queue: Queue, run: UUID) -> None:
        self.queue, self.parent, self.request_id = queue, run, uuid4()
        self.run = self.sent = run

    async def send(self, count: int, **wanted: Any) -> None:
        """Send the records of a filter's exceptions again."""
        async with self.queue.transaction() as tx:
            choice = Choice(Filter(run_id=self.parent, **wanted), count)
            _, sent = await resubmitting.resubmit_many(tx, self.queue.objects, choice, Wish())
            assert sent is not None
            self.sent, self.run = sent["id"], sent["correction_run_id"]

    async def judge(self, failures: Sequence[dict[str, Any]]) -> Opener:
        """Claim the correction's validation and open all but the last three exceptions."""
        asked = {"run_id": str(self.run), "report_id": str(self.queue.report), "phase": "input", "kind": "correction"}
        async with self.queue.transaction("service:validator") as tx:
            assert await jobs.add_job(tx, self.request_id, self.run, asked)
            assert await jobs.claim_job(tx, self.request_id, self.queue.now) is not None
        path = self.queue.home / f"{uuid4()}.parquet"
        pq.write_table(pa.Table.from_pylist(list(failures), schema=FAILURES), path)
        opener = self.queue.opener(self.run, path, request_id=self.request_id, kind="correction")
        assert await opener.open_ahead(self.queue.database, self.queue.context("service:validator"), 1)
        return opener

    async def fail(self) -> None:
        """End the validation without a verdict, and with it the correction; hear of that twice."""
        request = ValidationRequested.model_construct(
            run_id=self.run, report_id=self.queue.report, request_id=self.request_id, phase="input", kind="correction"
        )
        async with self.queue.transaction("service:validator") as tx:
            assert await commands.fail(tx, request, 1, "validation-stopped", "it was killed")
        await self.over("failed")

    async def over(self, after: str, **more: Any) -> None:
        """Hear twice that the correction is over, and have what follows done: the closing first, or last."""
        event = run_ended(self.queue, self.run, after, **{"kind": "correction", "delivered": False, **more})
        for _ in range(2):
            async with self.queue.transaction("service:validator") as tx:
                await handlers.on_run_ended(tx, event)

    async def work(self, *tasks: str) -> None:
        """Do the queued work of some kinds, in that order."""
        for task in tasks:
            for row in await self.queue.fetch("SELECT request_id FROM job WHERE task = $1 AND status = 'queued'", task):
                async with self.queue.transaction("service:validator") as tx:
                    job = await jobs.claim_job(tx, row["request_id"], self.queue.now + LEASE)
                    assert job is not None
                if task == "void":
                    await void_job(self.queue.database, self.queue.context("service:validator"), job, LEASE)
                else:
                    ending = concluding.Ending(RunEnded.model_validate(job["request"]), {})
                    async with self.queue.transaction("service:validator") as tx:
                        assert await concluding.conclude(tx, job, 1, ending)

    async def seen(self) -> list[tuple[Any, ...]]:
        """Return record, rule, status, resolution and whether provisional of the run's exceptions, as seen outside."""
        rows = await self.queue.fetch(
            "SELECT id FROM exception WHERE run_id = $1 ORDER BY ordinal, rule_id", self.parent
        )
        async with self.queue.transaction() as tx:
            shown = [await store.find(tx, row["id"]) for row in rows]
        return [
            tuple(one[name] for name in ("ordinal", "rule_id", "status", "resolution", "provisional")) for one in shown
        ]

    async def group(self, rule: str) -> dict[str, Any]:
        """Return a rule's group of the run."""
        async with self.queue.transaction() as tx:
            return {one["rule_id"]: one for one in await store.groups(tx, self.parent, None, samples=1, causes=1)}[rule]


@pytest.fixture
async def correction(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> Correction:
    """Send three records again; the correction's first steps open r1 again of the first, and r2 of all three anew."""
    made = Correction(queue, await queue.open([failure(n) for n in (4, 5, 6)]))
    for module in (opening, unsealed):
        monkeypatch.setattr(module, "_CHUNK", 2)
    await made.send(3)
    return made


async def half_judged(made: Correction) -> Opener:
    """Judge: r1 of the first record again, and r2 of all three, of which the last is not open yet."""
    found = [(1, "r1"), (1, "r2"), (2, "r2"), (3, "r2"), (3, "r3")]
    return await made.judge([failure(place, rule, key=f"T{place + 3}") for place, rule in found])


async def test_what_a_correction_finds_is_provisional_until_its_verdict(queue: Queue, correction: Correction) -> None:
    """What it opened may yet go; what waits for it is not touched, nor is anything else of the run."""
    other = await queue.open([failure(n) for n in (1, 2)])
    opener = await half_judged(correction)
    assert await correction.seen() == [
        (4, "r1", "open", None, True), (4, "r2", "open", None, True),
        (5, "r1", "resubmitted", None, False), (5, "r2", "open", None, True),
        (6, "r1", "resubmitted", None, False), (6, "r2", "open", None, True),
    ]  # fmt: skip
    assert (await correction.group("r2"))["provisional"] is True
    async with queue.transaction() as tx:
        assert [one["provisional"] for one in await store.groups(tx, other, None, samples=0, causes=0)] == [False]
        bystanders = [await store.find(tx, row["id"]) for row in await queue.listed(run_id=other)]
    assert [one["provisional"] for one in bystanders] == [False, False]
    async with queue.transaction("service:validator") as tx:
        assert await jobs.end_job(tx, correction.request_id, 1, "done")
        await opener.open_last(tx)
    seen = await correction.seen()
    assert [one[4] for one in seen] == [False] * 7
    assert [one[2] for one in seen if one[1] != "r1"] == ["open"] * 4
    await correction.over("failed")
    await correction.work("conclude", "void")
    assert {one[2] for one in await correction.seen()} == {"open"}, "a verdict that was told holds"


@pytest.mark.parametrize("order", [("void", "conclude"), ("conclude", "void")])
@pytest.mark.parametrize("after", ["failed", "cancelled"])
async def test_what_it_found_closes_where_its_verdict_is_never_told(
    queue: Queue, correction: Correction, after: str, order: tuple[str, ...]
) -> None:
    """Killed, erred or cancelled: its own findings close as void, those that it should settle are open again."""
    opener = await half_judged(correction)
    found = await queue.one(run_id=correction.parent, rule_id="r2", key="T5")
    async with queue.transaction() as tx:
        await waiving.waive(tx, found["id"], found["revision"], DAY + timedelta(days=900), "known")
    await (correction.fail() if after == "failed" else correction.over("cancelled"))
    async with queue.transaction("service:validator") as tx:
        assert not await commands.complete(tx, opener._request, 1, None, opener)  # type: ignore[arg-type] # told to nobody
    await correction.work(*order)
    assert await correction.seen() == [
        (4, "r1", "open", None, False), (4, "r2", "closed", "void", False),
        (5, "r1", "open", None, False), (5, "r2", "waived", None, False),
        (6, "r1", "open", None, False), (6, "r2", "closed", "void", False),
    ]  # fmt: skip
    told = [data for name, data in await queue.events() if name == "exception.voided"]
    assert [(one["run_id"], one["records"]) for one in told] == [(str(correction.run), 2)]
    (ended,) = [data for name, data in await queue.events() if name == "resubmission.ended"]
    assert ended["reopened"] == 3
    assert {name: (await correction.group("r2"))[name] for name in ("open", "waived", "closed", "provisional")} == {
        "open": 0, "waived": 1, "closed": 2, "provisional": False,
    }  # fmt: skip


async def test_what_is_sent_again_meanwhile_is_left_to_that_correction(queue: Queue, correction: Correction) -> None:
    """Of the same records a second correction finds the same: the first one's end closes nothing of it."""
    await half_judged(correction)
    await correction.fail()
    await correction.work("conclude")
    second = Correction(queue, correction.parent)
    await second.send(2, key="T4")
    await second.judge([failure(1, rule, key="T4") for rule in ("r2", "r8", "r9")])
    await correction.work("void")
    assert [one[1:3] for one in await second.seen() if one[0] == 4] == [
        ("r1", "resubmitted"), ("r2", "open"), ("r8", "open"),
    ]  # fmt: skip
