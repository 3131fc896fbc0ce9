"""Tenants' code in the real jail stays within time, memory and output, and reaches nothing."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from libs.common.jail import JobServer
from services.validator.jail.answers import log_excerpt
from tests.validator.transforming import PASSING, run, stopped

ENDINGS = {
    "loop": (
        "while True:\n        pass",
        {"wall_seconds": 1.0},
        "time-limit",
        "longer than 1 s and was stopped at line",
    ),
    "sleeping loop": (
        "import time\n    yield next(iter(batches))\n    while True:\n        time.sleep(0.01)",
        {"wall_seconds": 1.0},
        "time-limit",
        "had taken 10 records and given 10 rows, and used 0.",
    ),
    "native loop": (
        "import re\n    re.match('(a+)+$', 'a' * 64 + 'b')",
        {"wall_seconds": 1.0},
        "time-limit",
        "was stopped at line 3;",
    ),
    "swallowing loop": (
        "while True:\n        try:\n            while True: pass\n        except BaseException: pass",
        {"cpu_seconds": 1},
        "time-limit",
        "used more than 1 s of processor time and was stopped at line 4;",
    ),
    "memory": (
        "x = []\n    while True: x.append(bytearray(1 << 24))",
        {"memory": 1 << 30},
        "memory-limit",
        "line 3: MemoryError: the transform needs more memory than it may use; it may use 1,024 MiB of addresses, and had filled",
    ),
    "memory in small pieces": (
        "x = []\n    while True: x.append([])",
        {"memory": 704 << 20},
        "memory-limit",
        "MemoryError: the transform needs more memory than it may use; it may use 704 MiB",
    ),
    "memory of Polars": (
        "import polars as pl\n    f = pl.DataFrame({'a': [1] * 40_000})\n    f.join(f, on='a')",
        {"memory": 1 << 30},
        "memory-limit",
        "than the 1,024 MiB of addresses that it may use, and died at line 4;",
    ),
    "rows without end": (
        "b = next(iter(batches))\n    while True: yield b",
        {"result_bytes": 1 << 20},
        "result-too-large",
        "may fill, 1 MiB",
    ),
    "an exit": ("raise SystemExit(0)", {}, "transform-failed", "line 2"),
    "a silent death": ("import random\n    random._os._exit(3)", {}, "transform-crashed", "with the exit code 3"),
    "a fault": (
        "import random\n    random._os.abort()",
        {},
        "transform-crashed",
        "died of SIGABRT at line 3;",
    ),
}


@pytest.mark.parametrize(("body", "budget", "code", "told"), ENDINGS.values(), ids=ENDINGS.keys())
async def test_what_does_not_end_well_is_ended_within_its_budget(
    server: JobServer, tmp_path: Path, body: str, budget: dict[str, Any], code: str, told: str
) -> None:
    """Time, memory and output are bounded, whatever the code catches; the limit and the line are told (S26)."""
    place = tmp_path / "after"
    place.mkdir()
    async with asyncio.timeout(45):
        error = await stopped(
            server, tmp_path, f"def transform(batches, params):\n    {body}\n    yield\n", budget=budget
        )
    assert error.code == code
    assert told in error.message
    assert (await run(server, place, PASSING)).done.counted.rows == 10


FORGED = """
import random
def transform(batches, params):
    os = random._os
    for number in range(3, 40):
        try: path = os.readlink(f"/proc/self/fd/{number}")
        except OSError: continue
        if "progress" in path: os.pwrite(number, b'\\xff' * 16 + WORDS, 0)
    os._exit(1)
"""


@pytest.mark.parametrize(
    "words", [b"x" * 70_000, b"(most recent call first):\n" + b'  File "transform.py", line 9999999 in \x1b[2J\n' * 999]
)
async def test_notes_that_code_writes_itself_are_believed_as_far_as_they_can_be(
    server: JobServer, tmp_path: Path, words: bytes
) -> None:
    """Numbers without end, lines that the code has not: nobody is told them."""
    error = await stopped(server, tmp_path, FORGED.replace("WORDS", repr(words[:200]) + f" * {len(words) // 200}"))
    assert "with the exit code 1, before it was done; it had taken" in error.message
    assert (error.lines, len(error.message) < 300) == ((), True)


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


_FORGED = """
import random
os = random._os

def transform(batches, params):
    data = b'{"value":{"rows":[' + b"2.2250738585072011e-308," * 100_000 + b"1]}}"
    for n in range(3, 64):
        try: found = "memfd:result" in os.readlink(f"/proc/self/fd/{n}")
        except OSError: continue
        if found: os.pwrite(n, len(data).to_bytes(8, "little") + data, 0)
    os._exit(0)
"""


async def test_an_answer_says_little(server: JobServer, tmp_path: Path) -> None:
    """Whoever writes megabytes of numbers for an answer is not read: that would take the whole service's time."""
    error = await stopped(server, tmp_path, _FORGED)
    assert error.__cause__ is not None
    assert "ResultTooLarge" in str(error.__cause__)
