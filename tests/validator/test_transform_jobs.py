"""Tenants' Python and SQL in the real jail: honest code works, what is not a report's rows is refused, limits hold."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from libs.common.jail import JobServer
from libs.common.vocabulary.schemas import SchemaField, SchemaSpec
from libs.common.vocabulary.transforms import PythonTransform, SqlTransform
from services.validator.jail.answers import TransformStoppedError, clean, log_excerpt
from services.validator.jail.transforms import Budget, Done, Work, show, transform, transform_server

TARGET = SchemaSpec(
    fields=(
        SchemaField(name="id", type="text", required=True, max_length=20),
        SchemaField(name="amount", type="decimal", scale=2),
    )
)
PASSING = "def transform(batches, params):\n    yield from batches\n"


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[JobServer]:
    """Yield one warm server for all these tests."""
    async with transform_server() as running:
        yield running


def records(path: Path, count: int = 10) -> Path:
    """Write records `1..count` with keys and amounts."""
    numbers = range(1, count + 1)
    names = [f"K{number}" for number in numbers]
    amounts = pa.array([Decimal(number) for number in numbers], pa.decimal128(38, 2))
    pq.write_table(pa.table({"_ordinal": pa.array(numbers), "_key": names, "id": names, "amount": amounts}), path)
    return path


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a transform left behind."""

    done: Done
    rows: list[dict[str, Any]]
    trace: list[dict[str, Any]]
    drops: list[dict[str, Any]]
    log: str


async def run(
    server: JobServer, scratch: Path, code: str, yields: Any = "one_to_one", *, count: int = 10, **more: Any
) -> Outcome:
    """Run code (SQL where it begins with SELECT) over some records."""
    mappings = more.pop("mappings", {})
    budget = Budget(**more.pop("budget", {}))
    chosen: PythonTransform | SqlTransform
    if code.lstrip().startswith("SELECT"):
        chosen = SqlTransform(kind="sql", query=code, yields=yields, **more)
    else:
        chosen = PythonTransform(kind="python", code=code, yields=yields, **more)
    work = Work(chosen, code, TARGET, records(scratch / "records.parquet", count), scratch, mappings)
    done = await transform(server, work, budget)
    rows, trace, drops = (pq.read_table(scratch / f"{name}.parquet").to_pylist() for name in ("rows", "trace", "drops"))
    return Outcome(done, rows, trace, drops, log_excerpt(scratch))


def tried(scratch: Path, code: str, yields: Any) -> Work:
    """Return a try of code over ten records."""
    chosen = PythonTransform(kind="python", code=code, yields=yields)
    return Work(chosen, code, TARGET, records(scratch / "records.parquet"), scratch)


async def stopped(server: JobServer, scratch: Path, code: str, **more: Any) -> TransformStoppedError:
    """Run code that gives nothing, and return why."""
    with pytest.raises(TransformStoppedError) as caught:
        await run(server, scratch, code, **more)
    return caught.value


KINDS = {
    "arrow": "for batch in batches:\n        yield batch",
    "tables": "yield batches.table()",
    "a returned table": "return batches.table()",
    "polars": "for frame in batches.polars():\n        yield frame.with_columns(pl.col('id').cast(pl.Categorical))",
    "lazy polars": "for frame in batches.polars():\n        yield frame.lazy().filter(pl.col('amount') > 0)",
    "pandas": "for frame in batches.pandas():\n        yield frame.assign(id=frame['id'].astype('category'))",
    "many small ones": "for batch in batches:\n        for n in range(batch.num_rows):\n            yield batch.slice(n, 1)",
}


@pytest.mark.parametrize("body", KINDS.values(), ids=KINDS.keys())
async def test_every_table_that_people_know_is_taken(server: JobServer, tmp_path: Path, body: str) -> None:
    """Arrow, Polars and pandas give the same rows, typed as the target says (S26)."""
    code = f"import pandas as pd\nimport polars as pl\n\ndef transform(batches, params):\n    {body}\n"
    made = await run(server, tmp_path, code)
    assert made.done.counted.model_dump() == {"rows": 10, "used": 10, "dropped": 0}
    assert [(row["_ordinal"], row["id"], row["amount"]) for row in made.rows] == [
        (n, f"K{n}", Decimal(f"{n}.00")) for n in range(1, 11)
    ]


async def test_print_log_and_parameters_work(server: JobServer, tmp_path: Path) -> None:
    """What is said is kept, cleaned of what a terminal would obey; parameters come as they were given."""
    code = (
        "import logging\nimport datetime, decimal, zoneinfo, json, re, statistics, uuid\n"
        "def transform(batches, params):\n    print('hello', params['names'], '\\x1b[31m')\n"
        "    logging.getLogger('x').warning('careful')\n    yield from batches\n"
    )
    made = await run(server, tmp_path, code, params={"names": ["a", "b"]})
    assert made.log == "hello ['a', 'b']  [31m\nWARNING careful\n"


NAMES = pa.table({"key": ["K1", "K2"], "name": ["one", None]})
LOOKUP = """
import polars as pl
import pyarrow as pa


def transform(batches, params):
    print(list(batches.mappings), len(batches.mappings), "other" in batches.mappings)
    names = pl.from_arrow(batches.mappings["names"])
    assert batches.mappings["names"] is batches.mappings["names"]
    for frame in batches.polars():
        named = frame.join(names, left_on="id", right_on="key", how="left").sort("_ordinal")
        yield named.select("_ordinal", pl.coalesce("name", "id").alias("id"), "amount")
"""


async def test_python_has_the_mappings_of_the_report(server: JobServer, tmp_path: Path) -> None:
    """By alias, as SQL has them: the same rows come of both; one that the report has not is no key."""
    query = "SELECT r._ordinal, coalesce(n.name, r.id) AS id, r.amount FROM records AS r LEFT JOIN names AS n ON n.key = r.id"
    made = []
    for number, code in enumerate((LOOKUP, query)):
        place = tmp_path / str(number)
        place.mkdir()
        made.append(await run(server, place, code, mappings={"names": NAMES, "empty": NAMES.slice(0, 0)}))
    rows = [sorted((row["_ordinal"], row["id"]) for row in one.rows) for one in made]
    assert rows[0] == rows[1] == [(1, "one"), *((n, f"K{n}") for n in range(2, 11))]
    assert made[0].log == "['names', 'empty'] 2 False\n"
    code = "def transform(batches, params):\n    yield batches.mappings['nope']\n"
    assert "line 2: KeyError: 'nope'" in (await stopped(server, tmp_path, code)).message


HONEST = """
import datetime as dt
import decimal
import hashlib
import re
import statistics
import uuid
import zoneinfo
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc


@dataclass
class Line:
    key: str


def transform(batches, params):
    table = batches.table()
    grouped = table.group_by("id").aggregate([("amount", "sum")])
    frame = table.to_pandas()
    merged = frame.merge(grouped.to_pandas(), on="id").sort_values("_ordinal")
    dates = pd.date_range("2026-01-01", periods=len(merged), tz="Europe/Berlin").tz_convert("UTC")
    merged["weekly"] = merged.groupby(pd.Series(dates).dt.isocalendar().week.values)["_ordinal"].transform("cumsum")
    lazy = pl.from_pandas(merged[["_ordinal", "weekly"]]).lazy().with_columns(pl.col("weekly").rolling_sum(2))
    joined = lazy.collect().join(pl.from_arrow(table), on="_ordinal", how="left").group_by("_ordinal").first()
    berlin = dt.datetime.strptime("2026-03-29 03:30", "%Y-%m-%d %H:%M").replace(tzinfo=zoneinfo.ZoneInfo("Europe/Berlin"))
    print(berlin.utcoffset(), hashlib.sha256(b"x").hexdigest()[:4], uuid.uuid5(uuid.NAMESPACE_DNS, "x").hex[:4])
    print(statistics.median([1, 2, 3]), re.sub("a", "b", "a"), Counter("aab")["a"], Line("k"), decimal.Decimal("1.10"))
    print(np.linalg.norm(np.array([3.0, 4.0])), pc.sum(table["amount"]).as_py(), np.random.default_rng(1).integers(1))
    yield joined.sort("_ordinal").select("_ordinal", "id", "amount")
"""


async def test_honest_code_of_many_kinds_works(server: JobServer, tmp_path: Path) -> None:
    """What people use of pandas, Polars, Arrow, NumPy and the standard library is there behind the wall (S26)."""
    made = await run(server, tmp_path, HONEST)
    assert len(made.rows) == 10
    assert made.log.splitlines() == [
        "2:00:00 2d71 05b1",
        "2 b 2 Line(key='k') 1.10",
        "5.0 55.00 0",
    ]


async def test_the_same_code_gives_the_same_rows(server: JobServer, tmp_path: Path) -> None:
    """Chance is seeded: a run can be derived again."""
    code = (
        "import random\nimport numpy as np\ndef transform(batches, params):\n    for frame in batches.pandas():\n"
        "        frame['amount'] = [random.randint(0, 999) + int(n) for n in np.random.randint(0, 9, len(frame))]\n"
        "        yield frame\n"
    )
    first, second = tmp_path / "first", tmp_path / "second"
    for place in (first, second):
        place.mkdir()
    made = [await run(server, place, code) for place in (first, second)]
    assert made[0].rows == made[1].rows


async def test_sql_and_python_aggregate_alike(server: JobServer, tmp_path: Path) -> None:
    """Rows know all records behind them, and the first."""
    query = "SELECT 'x' AS id, sum(amount) AS amount, list(_ordinal) AS _ordinals FROM records GROUP BY amount > 4"
    made = await run(server, tmp_path, query, "aggregate")
    assert [(row["_ordinal"], row["_first"], row["amount"]) for row in made.rows] == [(1, 1, 10), (2, 5, 45)]
    assert [link["_ordinal"] for link in made.trace if link["_row"] == 2] == [5, 6, 7, 8, 9, 10]


async def test_records_that_come_to_nothing_are_filtered_where_that_is_declared(
    server: JobServer, tmp_path: Path
) -> None:
    """`unused: filter` permits a WHERE."""
    made = await run(server, tmp_path, "SELECT * FROM records WHERE amount > 8", unused="filter")
    assert made.done.counted.model_dump() == {"rows": 2, "used": 2, "dropped": 8}
    assert [drop["_ordinal"] for drop in made.drops] == list(range(1, 9))
    assert {drop["reason"] for drop in made.drops} == {"The transform leaves this record out."}


def frames(change: str) -> str:
    """Return code that changes a pandas frame."""
    return f"def transform(batches, params):\n    for f in batches.pandas():\n        {change}\n        yield f\n"


REFUSED = {
    "a record left out": (frames("f = f[f.index > 0]"), "records came to nothing", "1 (K1)"),
    "a foreign record": (frames("f['_ordinal'] += 1"), "name records that are not in the input", "11"),
    "a record twice": (frames("f['_ordinal'] = 1"), "stand behind several rows", "1 (K1)"),
    "no records named": (frames("f = f.drop(columns='_ordinal')"), "say in no column", "_ordinal"),
    "an empty number": (frames("f['_ordinal'] = None"), "is empty in some rows", "_ordinal"),
    "an unknown field": (frames("f['nope'] = 1"), "the target schema has no field", "nope"),
    "a required field without value": (frames("f['id'] = None"), "required field id", "id"),
    "a value that does not fit": (frames("f['amount'] = 'abc'"), "The value of amount does not fit", "10 rows"),
    "a value that would be rounded": (frames("f['amount'] = 1 / 3"), "The value of amount does not fit", "record 1"),
    "a text that is too long": (frames("f['id'] = 'x' * 21"), "longer than 20", "id"),
    "no table": ("def transform(batches, params):\n    yield 3\n", "yielded a int", "yield Arrow"),
    "nothing": ("def transform(batches, params):\n    pass\n", "returned nothing", "yield"),
    "nested values": (frames("f['id'] = [[1]] * 10"), "holds list", "'id'"),
    "SQL over what is not there": ("SELECT _ordinal, nope FROM records", "nope", "not found"),
}


@pytest.mark.parametrize(("code", "told", "detail"), REFUSED.values(), ids=REFUSED.keys())
async def test_rows_that_a_report_cannot_have_are_refused_with_a_reason(
    server: JobServer, tmp_path: Path, code: str, told: str, detail: str
) -> None:
    """Nothing disappears, nothing is invented, nothing is rounded: the message names field or record."""
    error = await stopped(server, tmp_path, code)
    assert told in error.message
    assert detail in error.message


async def test_an_error_names_the_lines_of_the_code_and_no_others(server: JobServer, tmp_path: Path) -> None:
    """Kind, message, and the way through the tenant's own functions, the innermost last (S26)."""
    code = "def helper(b):\n    return b['nope']\n\ndef transform(batches, params):\n    for b in batches.pandas():\n        yield helper(b)\n"
    error = await stopped(server, tmp_path, code)
    assert error.message == "The transform failed: line 2: KeyError: 'nope'"
    assert [(place.line, place.function, place.text) for place in error.lines] == [
        (6, "transform", "yield helper(b)"),
        (2, "helper", "return b['nope']"),
    ]


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


async def test_what_is_no_stream_of_rows_is_refused(server: JobServer, tmp_path: Path) -> None:
    """Code that writes its own bytes where rows go is found out at the gate."""
    code = (
        "import random\ndef transform(batches, params):\n    os = random._os\n"
        "    for d in range(3, 40):\n        try: os.write(d, b'\\xff\\xff\\xff\\xff\\x10\\x00\\x00\\x00' + b'x' * 64)\n"
        "        except OSError: pass\n    yield from batches\n"
    )
    error = await stopped(server, tmp_path, code)
    assert error.code in ("bad-rows", "transform-failed", "transform-crashed")


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


def test_shown_words_obey_nobody() -> None:
    """Control characters and halves of characters are not passed on."""
    assert clean("a\x1b[0m\u202eb\ud800\tc\n\x00") == "a [0m b \tc\n "


LEGS = """
import pyarrow as pa
def transform(batches, params):
    for batch in batches:
        for row in batch.to_pylist()[:8]:
            yield pa.table({"_ordinal": [row["_ordinal"]] * 2, "id": [row["id"], None], "amount": [row["amount"]] * 2, "_key": ["a", "b"]})
        yield pa.table({"_ordinal": [9, 10], "_dropped": ["small", "late"]})
"""


async def test_rows_are_shown_with_what_is_behind_them(server: JobServer, tmp_path: Path) -> None:
    """What is shown of a try is said by a child, as text where JSON has no number for it."""
    work = tried(tmp_path, LEGS.replace('row["id"], None', 'row["id"], row["id"] + "x"'), "one_to_many")
    done = await transform(server, work, Budget())
    shown = await show(server, work, Budget(), done.counted, 3)
    assert [row.model_dump() for row in shown.shown] == [
        {"places": (1,), "key": "a", "values": {"id": "K1", "amount": "1.00"}},
        {"places": (1,), "key": "b", "values": {"id": "K1x", "amount": "1.00"}},
        {"places": (2,), "key": "a", "values": {"id": "K2", "amount": "2.00"}},
    ]
    assert [(one.place, one.reason) for one in shown.drops] == [(9, "small"), (10, "late")]
    assert (shown.rows, shown.dropped) == (16, 2)


@pytest.mark.parametrize("name", ["rows", "trace", "drops"])
@pytest.mark.parametrize("content", [b"", b"PAR1" + b"\xff" * 64 + b"PAR1", b"no parquet at all"])
async def test_what_the_gate_left_is_not_believed(server: JobServer, tmp_path: Path, name: str, content: bytes) -> None:
    """A gate that was taken over leaves what it likes: a child reads it, and nobody is told it."""
    work = tried(tmp_path, PASSING, "one_to_one")
    done = await transform(server, work, Budget())
    (tmp_path / f"{name}.parquet").write_bytes(content)
    with pytest.raises(TransformStoppedError):
        await show(server, work, Budget(), done.counted, 3)


async def test_other_rows_than_were_counted_are_not_shown(server: JobServer, tmp_path: Path) -> None:
    """Files of the right shape with other rows are refused as well."""
    work = tried(tmp_path, PASSING, "one_to_one")
    done = await transform(server, work, Budget())
    rows = pq.read_table(tmp_path / "rows.parquet")
    for other in (rows.slice(1), rows.rename_columns([*rows.column_names[:-1], "unheard"])):
        pq.write_table(other, tmp_path / "rows.parquet")
        with pytest.raises(TransformStoppedError, match="not those that were counted"):
            await show(server, work, Budget(), done.counted, 3)
