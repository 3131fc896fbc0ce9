"""Validating, finding duplicates and sorting far more records than fit the engine's memory: how much memory that takes.

`python -m bench rules_large` or `python -m bench.rules_large [--rows N]`; exits with 1 when a bar is missed. RSS is the
largest of any single process below this one, shared pages included. The data, some 1.5 GB for 50 million records, are
made in a temporary directory, in which the engine also spills.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from bench import rules_case as case
from bench.bars import Bars
from bench.cpu import tree_cpu
from bench.pss import watch_largest
from libs.common.jail import MIB, JobServer, Limits
from libs.common.vocabulary.rules import RuleSpec, UniqueCheck
from services.validator.jail.broker import Outcome, Request, job_server, validate
from services.validator.plan import ResolvedRule

_THREADS, _WALL = 2, 7200.0
_RULES_MEMORY, _RULES_BAR = 256, 400
_SORT_MEMORY, _SORT_BAR = 1024, 1536


async def measured(name: str, bars: Bars, most: int, work: Callable[[], Awaitable[None]]) -> None:
    """Do some work, print what it took, and check the largest process below this one against `most` MiB."""
    watch, before, began = watch_largest(os.getpid()), tree_cpu(), time.perf_counter()
    await work()
    peak = watch.stop()
    bars.report(name, f"{time.perf_counter() - began:.1f} s, CPU {tree_cpu() - before:.1f} s")
    bars.check(f"{name}, peak RSS in MiB", peak / MIB, most)


class Large:
    """The records, and what is done with them."""

    def __init__(self, data: Path, folder: Path, rows: int) -> None:
        self._data, self._folder, self._rows = data, folder, rows

    async def judge(self, judges: JobServer, rules: list[ResolvedRule], memory: int) -> Outcome:
        """Validate all records in the jail with an engine of `memory` MiB."""
        scratch = Path(tempfile.mkdtemp(dir=self._folder))
        request = Request(
            case.plan(self._data, rules), self._data, scratch, memory=memory * MIB, threads=_THREADS,
            wall_seconds=_WALL, spill_bytes=100 * 1024 * MIB, measure=True,
        )  # fmt: skip
        return await validate(judges, request)

    async def sort(self) -> Path:
        """Sort all records by their ids, in the jail."""
        target, spill = self._folder / "sorted.parquet", self._folder / "spill"
        spill.mkdir()
        opened = [
            os.open(self._data, os.O_RDONLY), os.open(target, os.O_RDWR | os.O_CREAT), os.open(spill, os.O_RDONLY | os.O_DIRECTORY)
        ]  # fmt: skip
        limits = Limits(
            address_space=_SORT_MEMORY * MIB * 3 // 2 + 1536 * MIB, cpu_seconds=int(_WALL), wall_seconds=_WALL,
            file_size=100 * 1024 * MIB, open_files=256,
        )  # fmt: skip
        job = {"sort": "trade_id, _ordinal", "memory": _SORT_MEMORY * MIB, "threads": _THREADS}
        async with JobServer("bench.jail_work:run", preload=("duckdb",)) as jail:
            await jail.run(job, opened[:1], writable=opened[1:], limits=limits)
        for descriptor in opened:
            os.close(descriptor)
        return target


def is_sorted(path: Path, rows: int) -> bool:
    """Say whether a file has all records in the order of their ids."""
    last, found = "", 0
    for batch in pq.ParquetFile(path).iter_batches(columns=["trade_id"]):
        ids = batch.column("trade_id")
        if ids[0].as_py() < last or not pc.all(pc.less_equal(ids[:-1], ids[1:]), min_count=0).as_py():
            return False
        last, found = ids[-1].as_py(), found + len(ids)
    return found == rows


async def compare(folder: Path, rows: int) -> int:
    """Do all three; returns the number of missed bars."""
    bars, data = Bars(), folder / "records.parquet"
    began = time.perf_counter()
    case.generate(data, rows)
    bars.report(f"{rows:,} records made", f"{time.perf_counter() - began:.1f} s, {data.stat().st_size / MIB:.0f} MiB")
    large = Large(data, folder, rows)
    unique = RuleSpec(schema_id=case.SCHEMA_ID, check=UniqueCheck(fields=("trade_id",)))
    outcomes: dict[str, Outcome] = {}
    async with job_server() as judges:

        async def ten() -> None:
            outcomes["ten"] = await large.judge(judges, case.rules(10), _RULES_MEMORY)

        async def duplicates() -> None:
            outcomes["duplicates"] = await large.judge(
                judges, [ResolvedRule(id="unique", version=1, spec=unique)], _SORT_MEMORY
            )

        await measured(f"10 rules, {_RULES_MEMORY} MiB", bars, _RULES_BAR, ten)
        await measured(f"duplicates, {_SORT_MEMORY} MiB", bars, _SORT_BAR, duplicates)
    failed = {rule.rule_id: rule.failed for rule in (*outcomes["ten"].rules, *outcomes["duplicates"].rules)}
    bars.require(
        "all records judged, failures in each rule", holds=min(failed[n] for n in (*case.PYTHON, "unique")) > 0
    )
    await measured(f"sort, {_SORT_MEMORY} MiB", bars, _SORT_BAR, lambda: _sorted(large))
    bars.require("the sorted file is sorted and whole", holds=is_sorted(folder / "sorted.parquet", rows))
    return bars.missed


async def _sorted(large: Large) -> None:
    await large.sort()


def main() -> int:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=50_000_000)
    rows: int = parser.parse_args().rows
    with tempfile.TemporaryDirectory(prefix="regent-bench-", ignore_cleanup_errors=True) as work:
        return 1 if asyncio.run(compare(Path(work), rows)) else 0


if __name__ == "__main__":
    sys.exit(main())
