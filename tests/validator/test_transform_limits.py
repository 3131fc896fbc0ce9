"""Tenants' code in the real jail stays within time, memory and output, and reaches nothing."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from libs.common.jail import JobServer
from services.validator.jail.answers import log_excerpt
from tests.validator.transforming import PASSING, run, stopped

ENDINGS = {
    "loop": ("while True:\n        pass", {"wall_seconds": 1.0}, "time-limit"),
    "swallowing loop": (
        "while True:\n        try:\n            while True: pass\n        except BaseException: pass",
        {"cpu_seconds": 1},
        "time-limit",
    ),
    "memory": ("x = []\n    while True: x.append(bytearray(1 << 24))", {"memory": 1 << 30}, "memory-limit"),
    "rows without end": (
        "b = next(iter(batches))\n    while True: yield b",
        {"result_bytes": 1 << 20},
        "result-too-large",
    ),
    "an exit": ("raise SystemExit(0)", {}, "transform-failed"),
    "a silent death": ("import random\n    random._os._exit(0)", {}, "transform-crashed"),
}


@pytest.mark.parametrize(("body", "budget", "code"), ENDINGS.values(), ids=ENDINGS.keys())
async def test_what_does_not_end_well_is_ended_within_its_budget(
    server: JobServer, tmp_path: Path, body: str, budget: dict[str, Any], code: str
) -> None:
    """Time, memory and output are bounded, whatever the code catches; the next job finds nothing of it (S26)."""
    place = tmp_path / "after"
    place.mkdir()
    async with asyncio.timeout(45):
        error = await stopped(
            server, tmp_path, f"def transform(batches, params):\n    {body}\n    yield\n", budget=budget
        )
    assert error.code == code
    assert (await run(server, place, PASSING)).done.counted.rows == 10


ATTEMPTS = {
    "fork": "os.fork()",
    "subprocess": "__import__('subprocess').run(['/bin/true'])",
    "socket": "__import__('socket').create_connection(('127.0.0.1', 80), 1)",
    "read": "open('/etc/passwd').read()",
    "write": "open('/tmp/x', 'w').write('x')",
    "kill": "os.kill(os.getppid(), 9)",
    "environment": "dict(os.environ)['PATH']",
}


@pytest.mark.parametrize("attempt", ATTEMPTS.values(), ids=ATTEMPTS.keys())
async def test_the_jail_holds_without_any_filter_of_the_language(
    server: JobServer, tmp_path: Path, attempt: str
) -> None:
    """Code that gets at `os` gets nowhere: the list of imports is no wall, the process is (S33)."""
    code = (
        "import random\n"
        "def transform(batches, params):\n"
        "    os = random._os\n"
        f"    print('REACHED', {attempt})\n"
        "    yield from batches\n"
    )
    error = await stopped(server, tmp_path, code)
    assert error.code in ("transform-failed", "forbidden", "transform-crashed")
    assert "REACHED" not in log_excerpt(tmp_path)


async def test_memory_does_not_grow_with_the_records(server: JobServer, tmp_path: Path) -> None:
    """Thirty times the records take the process hardly more memory (S30)."""
    peaks = []
    for count in (10_000, 300_000):
        place = tmp_path / str(count)
        place.mkdir()
        code = "def transform(batches, params):\n    for frame in batches.polars():\n        yield frame\n"
        done = (await run(server, place, code, count=count)).done
        assert done.took is not None
        assert done.counted.rows == count
        peaks.append(done.took.peak_rss)
    assert peaks[1] - peaks[0] < 120 * 1024 * 1024, peaks


SORTED = """
import polars as pl
def transform(batches, params):
    print(pl.thread_pool_size())
    wide = pl.from_arrow(batches.table()).lazy().with_columns(pl.col("id").alias(f"copy{n}") for n in range(8))
    return wide.sort("amount", descending=True).select("_ordinal", "id", "amount")
"""


async def test_lazy_polars_has_all_of_the_memory_that_a_transform_may_use(server: JobServer, tmp_path: Path) -> None:
    """One thread, and the engine that reserves no more addresses than it fills: a sort fits (S30)."""
    made = await run(server, tmp_path, SORTED, count=100_000, budget={"memory": 704 << 20})
    assert made.log == "1\n"
    assert [row["_ordinal"] for row in made.rows[:2]] == [100_000, 99_999]
