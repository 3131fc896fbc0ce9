"""Rows in PostgreSQL to CSV, Parquet and checked XML: ours against a pandas script, ratios of one run.

`python -m bench.data_path [--rows N] [--scale N]`; exits with 1 when a bar is missed.
"""

import argparse
import asyncio
import json
import shutil
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import duckdb

from bench import data_path_case as case
from bench.bars import Bars
from bench.blotter_rows import fill
from bench.pss import run_watched
from deploy.local import postgres
from deploy.local.processes import free_port
from deploy.local.supervisor import Supervisor

_ROOT = Path(__file__).parents[1]
_MIB = 1024 * 1024
_ROUNDS = {"plain": 3, "xml": 1}
"""How often each pair is run; the short one swings more."""


@dataclass(slots=True)
class Measured:
    """What one side did."""

    seconds: dict[str, float]
    total: float
    rows_per_second: float
    peak: int
    result: dict[str, Any] = field(repr=False)


def run_side(side: str, url: str, table: str, rows: int, work: Path, kind: str) -> Measured:
    """Run one side in a process of its own and print a line."""
    folder = work / f"{side}-{table}-{kind}"
    folder.mkdir(parents=True)
    command = [sys.executable, "-m", f"bench.data_path_{side}", url, table, str(folder), kind]
    output, peak, _ = run_watched(command, cwd=_ROOT)
    result = json.loads(output)
    measured = Measured(result["seconds"], result["total"], rows / result["total"], peak, result)
    stages = "  ".join(f"{name} {value:.2f}" for name, value in measured.seconds.items())
    print(f"{side:7} {rows:>9,} {kind:5} {measured.total:7.2f} s  {measured.rows_per_second:>9,.0f} rows/s  "
          f"{peak / _MIB:6.0f} MiB  | {stages}", flush=True)  # fmt: skip
    return measured


def same_outputs(work: Path, table: str, kind: str, ours: Measured, theirs: Measured) -> bool:
    """Compare CSV and XML by hash and Parquet by content."""
    equal = (ours.result["out"], ours.result["held"]) == (theirs.result["out"], theirs.result["held"])
    for name in ("csv", "xml") if kind == "xml" else ("csv",):
        equal &= ours.result["sha256"][name] == theirs.result["sha256"][name]
    content = [_content(next((work / f"{side}-{table}-{kind}").rglob("report.parquet"))) for side in ("ours", "pandas")]
    return equal and content[0] == content[1]


def _content(path: Path) -> tuple[object, ...]:
    columns = ", ".join(f'"{name}"' for name in case.TARGET_TYPES)
    query = f"""SELECT bit_xor(hash(n, {columns})), count(*) FROM (
        SELECT row_number() OVER () AS n, * FROM read_parquet('{path}'))"""
    with duckdb.connect() as engine:
        row = engine.execute(query).fetchone()
    return tuple(row or ())


def compare(url: str, rows: int, scale: int, work: Path) -> int:
    """Run both sides with and without XML, then ours at the larger size; return the number of missed bars."""
    bars, table = Bars(), f"bench_{rows}"
    pairs: dict[str, list[tuple[Measured, Measured]]] = {}
    for kind, rounds in _ROUNDS.items():
        pairs[kind] = []
        for _ in range(rounds):
            theirs, ours = (run_side(side, url, table, rows, work, kind) for side in ("pandas", "ours"))
            bars.require(f"same outputs ({kind})", holds=same_outputs(work, table, kind, ours, theirs))
            pairs[kind].append((ours, theirs))
            _clear(work)
    with_xml, without = ([ours.total / theirs.total for ours, theirs in pairs[kind]] for kind in ("xml", "plain"))
    bars.check("wall with XML / baseline", median(with_xml), 0.6)
    bars.check("wall without XML / baseline", median(without), 0.5)
    peak = pairs["xml"][0][0].peak
    bars.check("peak PSS / baseline", peak / pairs["xml"][0][1].peak, 0.35)
    if scale:
        large = run_side("ours", url, f"bench_{scale}", scale, work, "xml")
        bars.check(f"peak PSS at {scale:,} / at {rows:,}", large.peak / peak, 1.2)
    return bars.missed


def _clear(work: Path) -> None:
    for folder in work.iterdir():
        shutil.rmtree(folder)


async def _with_database(rows: int, scale: int, work: Path) -> int:
    async with Supervisor(lambda _name, _line: None) as supervisor:
        server = await postgres.prepare(work / "postgres", port=free_port())
        await supervisor.start(server.program())
        for size in filter(None, (rows, scale)):
            await fill(server.tcp_url(), f"bench_{size}", size)
        results = work / "results"
        results.mkdir()
        return await asyncio.to_thread(compare, server.tcp_url(), rows, scale, results)


def main() -> int:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--scale", type=int, default=5_000_000, help="0 leaves the second size out")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="regent-bench-", ignore_cleanup_errors=True) as work:
        return 1 if asyncio.run(_with_database(options.rows, options.scale, Path(work))) else 0


if __name__ == "__main__":
    sys.exit(main())
