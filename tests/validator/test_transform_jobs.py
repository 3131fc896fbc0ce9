"""Tenants' Python and SQL in the real jail: honest code of many kinds works, and gives the rows that it should."""

import re
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest

from libs.common.jail import JobServer
from libs.transforms import ALLOWED
from tests.validator.transforming import PASSING, run, stopped

KINDS = {
    "arrow": "for batch in batches:\n        yield batch",
    "tables": "yield batches.table()",
    "a returned table": "return batches.table()",
    "polars": "for frame in batches.polars():\n        yield frame.with_columns(pl.col('id').cast(pl.Categorical))",
    "lazy polars": "for frame in batches.polars():\n        yield frame.lazy().filter(pl.col('amount') > 0)",
    "pandas": "for frame in batches.pandas():\n        yield frame.assign(id=frame['id'].astype('category'))",
    "the first and the others": "yield next(batches)\n    yield from batches",
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


PLAIN = {
    "whole numbers": ("pa.array(range(1, 11), pa.int16())", "1"),
    "decimals": ("b['amount']", "1.00"),
    "a dictionary": ("b['id'].dictionary_encode()", "K1"),
    "large text": ("b['id'].cast(pa.large_string())", "K1"),
}


@pytest.mark.parametrize(("column", "first"), PLAIN.values(), ids=PLAIN.keys())
async def test_what_a_text_can_say_is_taken_as_text(server: JobServer, tmp_path: Path, column: str, first: str) -> None:
    """Numbers in a field of text, and every way in which Arrow holds texts (S26)."""
    code = (
        "import pyarrow as pa\ndef transform(batches, params):\n    b = batches.table()\n"
        f"    return pa.table({{'_ordinal': b['_ordinal'], 'id': {column}}})\n"
    )
    assert (await run(server, tmp_path, code)).rows[0]["id"] == first


async def test_numbers_that_arrow_has_not_are_narrowed(server: JobServer, tmp_path: Path) -> None:
    """Polars counts in 128 bits; a field has 64 of them, and what fits goes in."""
    code = (
        "import polars as pl\ndef transform(batches, params):\n    for f in batches.polars():\n"
        "        yield f.with_columns(amount=pl.col('_ordinal').cast(pl.Int128))\n"
    )
    assert (await run(server, tmp_path, code)).rows[9]["amount"] == Decimal("10.00")


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
    told = "line 2: KeyError: the report has no mapping 'nope': it has none"
    assert told in (await stopped(server, tmp_path, code)).message


async def test_what_may_be_imported_is_there_and_documented(server: JobServer, tmp_path: Path) -> None:
    """Each module of the list can be had behind the wall, and the documentation lists the same."""
    text = (Path(__file__).parents[2] / "docs" / "transforms.md").read_text(encoding="utf-8")
    listed = text.partition("What can be imported: ")[2].partition(". The list")[0]
    assert set(re.findall(r"`(\w+)`", listed)) == set(ALLOWED)
    code = "\n".join(f"import {name}" for name in (*ALLOWED, "dateutil.parser", "dateutil.rrule", "dateutil.tz"))
    code += "\nberlin = dateutil.tz.gettz('Europe/Berlin')\nprint(datetime.datetime(2026, 7, 1, tzinfo=berlin).utcoffset())\n"
    assert (await run(server, tmp_path, code + PASSING)).log == "2:00:00\n"


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
