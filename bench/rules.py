"""Record rules, all judged in one pass: against a bare scan, one query per rule, Great Expectations and a Python loop.

CPU of all threads and processes, jail and results included; every side finds the same failing records.
`python -m bench rules` or `python -m bench.rules [--rows N] [--rounds N] [--plain]`; exits with 1 when a bar is missed. The
records lie as the runner writes them; with `--plain`, as the engine does by itself.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import venv
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

from bench import rules_case as case
from bench import rules_sides as sides
from bench.bars import Bars
from bench.cpu import tree_cpu
from bench.rules_sides import Bench, Verdicts
from libs.common.jail import JobServer
from services.validator.jail.broker import job_server

_PEER = Path(__file__).with_name("rules_gx.py")
_SCAN_BARS = {10: 3.0, 50: 9.0}
_SETTLED_SECONDS = 0.2
_ONE_BY_ONE_BAR, _PEER_BAR, _LOOP_BAR = 0.6, 1 / 4, 1 / 10


class Comparison:
    """The sides that run in this process and in the jail, measured in turns."""

    def __init__(self, bench: Bench, judges: JobServer) -> None:
        self._bench, self._judges, self._engine = bench, judges, bench.engine()
        self._lone = replace(bench, threads=1).engine()
        self._alone = sides.plans_alone(bench, max(_SCAN_BARS))
        self._plans = {count: case.plan(bench.data, case.rules(count)) for count in _SCAN_BARS}
        self.measured: dict[str, list[float]] = {}
        self.verdicts: dict[str, Verdicts] = {}

    async def round(self) -> None:
        """Measure every side once."""
        async with self._spending("scan"):
            sides.scan(self._engine)
        async with self._spending("scan on one thread"):
            sides.scan(self._lone)
        async with self._spending("one by one"):
            self.verdicts["one by one"] = sides.one_by_one(self._engine, self._alone)
        for count, plan in self._plans.items():
            async with self._spending(f"fused {count}"):
                await sides.fused(self._bench, self._judges, plan)
            self.verdicts[f"fused {count}"] = sides.fused_verdicts(self._bench)

    @asynccontextmanager
    async def _spending(self, name: str) -> AsyncIterator[None]:
        before = tree_cpu()
        yield
        await asyncio.sleep(_SETTLED_SECONDS)  # what the jail does after a job belongs to it, not to the next side
        self.measured.setdefault(name, []).append(tree_cpu() - before)

    def report(self, bars: Bars) -> float:
        """Print the ratios; returns the CPU seconds of ten rules, fused. The first round was for warming up.

        Means: the system counts a process's time in hundredths of a second, and a median would too.
        """
        found = {name: fmean(values[1:]) for name, values in self.measured.items()}
        for name, value in found.items():
            bars.report(f"CPU, {name}", f"{value:.3f} s")
        for count, bar in _SCAN_BARS.items():
            bars.check(f"{count} rules fused / scan of the same columns", found[f"fused {count}"] / found["scan"], bar)
            alone = found[f"fused {count}"] / found["scan on one thread"]
            bars.report(f"{count} rules fused / scan of the same columns on one thread", f"{alone:.2f}")
        bars.check("50 rules fused / one query per rule", found["fused 50"] / found["one by one"], _ONE_BY_ONE_BAR)
        same = self.verdicts["fused 50"] == self.verdicts["one by one"]
        bars.require("fused and one query per rule: the same records fail", holds=same)
        return found["fused 10"]


def python_loop(bench: Bench) -> tuple[float, Verdicts]:
    """Return CPU seconds and verdicts of the Python loop."""
    before = tree_cpu()
    verdicts = sides.row_by_row(bench)
    return tree_cpu() - before, verdicts


def great_expectations(data: Path, folder: Path) -> dict[str, Any] | None:
    """Install Great Expectations into a virtual environment of its own and run it; None where it does not install."""
    venv.create(folder, with_pip=True)
    python = str(folder / "bin" / "python")
    wanted = [python, "-m", "pip", "install", "--quiet", "great_expectations", "pyarrow"]
    installed = subprocess.run(wanted, capture_output=True, text=True, check=False)  # noqa: S603 - ours
    if installed.returncode:
        print(f"     Great Expectations does not install here: {installed.stderr.strip()[-300:]}", flush=True)
        return None
    ran = subprocess.run([python, str(_PEER), str(data)], capture_output=True, text=True, check=False)  # noqa: S603 - ours
    if ran.returncode:
        print(f"     Great Expectations does not run here: {ran.stderr.strip()[-300:]}", flush=True)
        return None
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


async def compare(data: Path, folder: Path, rounds: int) -> int:
    """Run all sides; returns the number of missed bars."""
    bars, bench = Bars(), Bench(data, folder)
    async with job_server() as judges:
        comparison = Comparison(bench, judges)
        for _ in range(rounds + 1):
            await comparison.round()
    ours, verdicts = comparison.report(bars), comparison.verdicts["fused 10"]
    loop, found = python_loop(bench)
    bars.report("CPU, Python loop", f"{loop:.2f} s")
    bars.check("10 rules fused / Python loop", ours / loop, _LOOP_BAR)
    bars.require("fused and Python loop: the same records fail", holds=verdicts == found)
    peer = great_expectations(data, folder / "peer")
    if peer is not None:
        name = f"Great Expectations {peer['version']}"
        bars.report(f"CPU, {name}, judging alone / with reading", f"{peer['judging']:.2f} / {peer['whole']:.2f} s")
        bars.check(f"10 rules fused / {name}", ours / peer["whole"], _PEER_BAR)
        bars.require(f"fused and {name}: the same records fail", holds=verdicts == peer["verdicts"])
    return bars.missed


def main() -> int:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--plain", action="store_true")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="regent-bench-", ignore_cleanup_errors=True) as work:
        data = Path(work) / "records.parquet"
        case.generate(data, chosen.rows)
        if chosen.plain:
            case.rewrite(data)
        return 1 if asyncio.run(compare(data, Path(work), chosen.rounds)) else 0


if __name__ == "__main__":
    sys.exit(main())
