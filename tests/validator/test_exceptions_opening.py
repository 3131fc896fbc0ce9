"""A verdict's exceptions open in steps; a worker that dies between two of them is replaced by one that opens the rest."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from services.validator import store as jobs
from services.validator.exceptions import opening, verdicts
from services.validator.exceptions.verdicts import Opener
from services.validator.jail.sealing import FAILURES
from tests.validator.queue import Queue, failure

_TALLIES = """
SELECT (SELECT count(*) FROM exception WHERE run_id = $1) AS rows,
       (SELECT sum(open) FROM exception_tally WHERE scope = $1 AND evidence = '00000000-0000-0000-0000-000000000000') AS counted,
       (SELECT sum(open) FROM exception_tally WHERE scope = $1 AND evidence <> '00000000-0000-0000-0000-000000000000') AS caused,
       (SELECT count(DISTINCT exception_id) FROM exception_term) AS found
"""


class DiedError(Exception):
    """Stands for the end of a process between two transactions."""


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let three exceptions be a step."""
    monkeypatch.setattr(opening, "_CHUNK", 3)


@pytest.fixture
def failures(queue: Queue) -> Path:
    """Write ten failures, every fifth of which is a warning only."""
    rows = [
        failure(n, fields={"venue": f"X{n % 2}"}, severity="warning" if n % 5 == 0 else "blocking") for n in range(10)
    ]
    path = queue.home / "failures.parquet"
    pq.write_table(pa.Table.from_pylist(rows, schema=FAILURES), path)
    return path


async def claimed(queue: Queue, run: UUID, request_id: UUID) -> int:
    """Take the job of a validation, as a worker does whose forerunner's lease is over; returns the attempt."""
    async with queue.transaction("service:validator") as tx:
        await jobs.add_job(tx, request_id, run, {})
        row = await jobs.claim_job(tx, request_id, queue.now)
        assert row is not None
        attempt: int = row["attempts"]
    queue.now = queue.now.replace(second=queue.now.second + 1)
    return attempt


async def finish(queue: Queue, opener: Opener, attempt: int) -> bool:
    """Open everything, as a worker does."""
    if not await opener.open_ahead(queue.database, queue.context("service:validator"), attempt):
        return False
    async with queue.transaction("service:validator") as tx:
        await opener.open_last(tx)
    return True


@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize("steps", range(4))
async def test_a_worker_that_dies_between_steps_is_replaced(
    queue: Queue, failures: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    """What was opened stays, what was not is opened, and all counts are exact."""
    run, request_id = uuid4(), uuid4()
    first = await claimed(queue, run, request_id)

    def some(path: Path) -> Iterator[list[dict[str, Any]]]:
        for number, rows in enumerate(opening.blocking(path)):
            if number > steps:
                raise DiedError
            yield rows

    with monkeypatch.context() as patched:
        patched.setattr(verdicts, "blocking", some)
        if steps < 3:
            with pytest.raises(DiedError):
                await finish(queue, queue.opener(run, failures, request_id=request_id), first)
    assert len(await queue.listed(run_id=run)) < 8
    second = await claimed(queue, run, request_id)
    opener = queue.opener(run, failures, request_id=request_id)
    assert await finish(queue, opener, second)
    assert opener.by_rule == Counter(r1=8)
    (counts,) = await queue.fetch(_TALLIES, run)
    assert dict(counts) == {"rows": 8, "counted": 8, "caused": 8, "found": 8}


@pytest.mark.usefixtures("small_steps")
async def test_a_worker_whose_job_is_another_ones_opens_nothing_more(queue: Queue, failures: Path) -> None:
    """A worker that was taken for dead stops at its next step."""
    run, request_id = uuid4(), uuid4()
    first = await claimed(queue, run, request_id)
    await claimed(queue, run, request_id)
    assert not await finish(queue, queue.opener(run, failures, request_id=request_id), first)
    assert await queue.listed(run_id=run) == []
