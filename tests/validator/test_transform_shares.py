"""A tenant's code takes its tenant's share of the jail: what it used is booked, told of, and ends at a budget."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from libs.common.jail import JobServer, OverBudget
from libs.common.jail.endings import Ending
from libs.common.jail.shares import Budget, Shares
from libs.common.vocabulary.transforms import PythonTransform
from services.validator.jail.answers import TransformStoppedError
from services.validator.jail.limits import Budget as Limit
from services.validator.jail.transforms import TRANSFORMS, Work, transform
from tests.validator.transforming import PASSING, TARGET, records

ROOT = Path(__file__).parents[2]
BURNING = "def transform(batches, params):\n    while True: pass\n    yield\n"


@pytest.fixture
def heard() -> list[Ending]:
    """Return where the ends of jobs are told."""
    return []


@pytest.fixture
async def server(tmp_path: Path, heard: list[Ending]) -> AsyncIterator[JobServer]:
    """Yield a way into a jail of its own, in which a tenant has one second of processor time."""
    directory = tmp_path / "jail"
    command = (sys.executable, "-m", "services.validator.jail", str(directory))
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env={})
    shares = Shares(2, budget=Budget(1.0, 3600))
    try:
        async with JobServer.at(directory, TRANSFORMS, shares=shares, observe=heard.append) as running:
            yield running
    finally:
        process.terminate()
        await process.wait()


async def test_code_is_booked_to_its_tenant(server: JobServer, heard: list[Ending], tmp_path: Path) -> None:
    """A loop that is stopped has used its tenant's time up; another tenant's code runs (S27)."""

    def work(owner: str, code: str) -> Work:
        place = tmp_path / owner
        place.mkdir(exist_ok=True)
        chosen = PythonTransform(kind="python", code=code, yields="one_to_one")
        return Work(chosen, code, TARGET, records(place / "records.parquet"), place, owner=owner)

    with pytest.raises(TransformStoppedError):
        await transform(server, work("one", BURNING), Limit(cpu_seconds=2))
    with pytest.raises(OverBudget):
        await transform(server, work("one", PASSING), Limit())
    done = await transform(server, work("two", PASSING), Limit())
    assert done.counted.rows == 10
    assert [(each.kind, each.owner, each.outcome) for each in heard] == [
        ("transform", "one", "limit"),
        ("transform", "two", "done"),
        ("gate", "two", "done"),
    ]
