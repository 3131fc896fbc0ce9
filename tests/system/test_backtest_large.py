"""A change is tried on a million records: what differs is exact, and memory does not grow with it (S3, S30)."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from libs.common.vocabulary.transforms import FieldMapping, PythonTransform, Transform
from tests.system.memory import descendants
from tests.system.payments import SCHEMA, rule_spec
from tests.system.test_backtest_code import coded
from tests.system.transforming import LEGS
from tests.system.world import Tenant, World

ROWS = 1_000_000
SECONDS = 240
"""The budget of a backtest, on a machine that does other work as well; alone it takes a sixth of it."""
MOST_BYTES = 450 * 1024 * 1024
"""What a child of the runner may have in memory: the engine's 128 MiB, what its parent brought, and buffers beside."""
CONTENT = "id,amount,booked\n" + "".join(f"P{n},{n % 1000 - 9}.25,2026-03-0{n % 9 + 1}\n" for n in range(ROWS))
"""Every thousand: ten at most 0.25, then fifty below 51."""
PLAIN = Transform(fields=tuple(FieldMapping(field=one.name, expression=one.name) for one in SCHEMA.fields))
CODE = PythonTransform(kind="python", code=LEGS, yields="one_to_many", params={"least": -10})


class Peaks:
    """The most memory that each process below another one had, and what was seen of a backtest's steps."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.most: dict[int, int] = {}

    def look(self) -> None:
        """Look once; a process keeps its own record of the most it had."""
        for child in descendants(self._pid):
            with contextlib.suppress(OSError, StopIteration):
                lines = Path(f"/proc/{child}/status").read_text(encoding="utf-8").splitlines()
                self.most[child] = 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])

    @asynccontextmanager
    async def watched(self) -> AsyncIterator["Peaks"]:
        """Look all the time."""

        async def watch() -> None:
            while True:
                self.look()
                await asyncio.sleep(0.05)

        task = asyncio.create_task(watch())
        try:
            yield self
        finally:
            task.cancel()


async def tried(tenant: Tenant, rule: Any, seconds: float) -> tuple[Any, set[str]]:
    """Try a rule's draft on the last run; return the backtest and the steps that it was seen in."""
    made = await tenant.api.post("/v1/backtests", {"kind": "rule", "id": str(rule), "last": 1})
    steps: set[str] = set()
    deadline = time.monotonic() + seconds
    while True:
        shown = await tenant.api.get(f"/v1/backtests/{made['id']}")
        if shown["status"] == "completed":
            return shown, steps
        steps |= {each["step"] for each in shown["replays"]}
        assert time.monotonic() < deadline, shown
        await asyncio.sleep(0.1)


def numbers(rows: Any, difference: str) -> list[int]:
    """Return the numbers in the keys of a difference, in order."""
    return sorted(int(row["key"][1:]) for row in rows if row["difference"] == difference)


@pytest.mark.long
@pytest.mark.parametrize(("transform", "legs"), [(PLAIN, 1), (CODE, 2)], ids=["expressions", "code"])
async def test_a_backtest_of_a_million_records(world: World, tenant: Tenant, transform: Any, legs: int) -> None:
    """Counts and keys are those that arithmetic gives, in bounded memory and time, and the steps can be followed."""
    report = await coded(tenant, transform, checked="amount > 1", content=CONTENT, seconds=SECONDS)
    path = f"/v1/rules/{report.rule}"
    body = rule_spec(report.source, "amount > 51 or amount < -5").model_dump(mode="json")
    await tenant.api.change(path, {"name": "checked", "spec": body})
    runner = world.stack.children["runner"].pid
    assert runner is not None
    began = time.monotonic()
    async with Peaks(runner).watched() as peaks:
        found, steps = await tried(tenant, report.rule, SECONDS)
    took = time.monotonic() - began
    failing = [n for n in range(ROWS) if 10 <= n % 1000 < 60]
    passing = [n for n in range(ROWS) if n % 1000 < 5]
    assert (found["failed"], found["counts"]["records"]) == (0, legs * (ROWS - ROWS // 100))  # out before
    expected = {"newly_failing": len(failing), "newly_passing": len(passing), "no_longer_out": len(failing), "newly_out": len(passing), "changed": 0}  # fmt: skip
    assert {name: found["counts"][name] for name in expected} == expected
    rows = pq.read_table(_sealed(world, found), columns=["difference", "key"]).to_pylist()
    assert (numbers(rows, "newly_failing"), numbers(rows, "newly_passing")) == (failing, passing)
    assert numbers(rows, "no_longer_out") == sorted(failing * legs)
    assert numbers(rows, "newly_out") == sorted(passing * legs)
    assert steps >= {"validate", "transform", "compare"}
    assert max(peaks.most.values()) < MOST_BYTES
    print(f"{took:.1f} s, at most {max(peaks.most.values()) >> 20} MiB in a child of the runner")  # noqa: T201


def _sealed(world: World, found: Any) -> Path:
    """Return the file of what differs of the one replay."""
    (file,) = (world.stack.configuration.data / "objects").glob(
        f"*/runs/{found['replays'][0]['id']}/compare/*/differences.parquet"
    )
    return file
