"""What a transform does that is not a report's: its rows are refused with a reason."""

from pathlib import Path

import pytest

from libs.common.jail import JobServer
from libs.common.vocabulary.schemas import SchemaField, SchemaSpec
from tests.validator.transforming import stopped


def frames(change: str) -> str:
    """Return code that changes a pandas frame."""
    return f"import pandas as pd\ndef transform(batches, params):\n    for f in batches.pandas():\n        {change}\n        yield f\n"


PL = "import polars as pl\ndef transform(batches, params):\n    for f in batches.polars():\n        "
AR = "import pyarrow as pa\ndef transform(batches, params):\n    for b in batches:\n        "

REFUSED = {
    "a record left out": (frames("f = f[f.index > 0]"), "records came to nothing", "1 (K1)"),
    "a foreign record": (frames("f['_ordinal'] += 1"), "name records that are not in the input", "11"),
    "a record twice": (frames("f['_ordinal'] = 1"), "stand behind several rows", "1 (K1)"),
    "no records named": (frames("f = f.drop(columns='_ordinal')"), "say in no column", "_ordinal"),
    "an empty number": (frames("f['_ordinal'] = None"), "is empty in some rows", "_ordinal"),
    "an unknown field": (frames("f['nope'] = 1"), "the target schema has no field", "nope"),
    "a required field without value": (frames("f['id'] = None"), "required field id", "id"),
    "a value that does not fit": (
        frames("f['amount'] = 'abc'"),
        "The value of amount does not fit",
        "10 rows, such as 'abc' of record 1; the column holds text: give decimals",
    ),
    "no number": (
        PL + "yield f.with_columns(pl.lit(0.0) / 0).drop('amount').rename({'literal': 'amount'})",
        "'-nan' of record 1",
        "absent is null",
    ),
    "numbers that are too long": (
        frames("f['id'] = f['amount'] * 10**20"),
        "longer than 20",
        "of record 1",
    ),
    "a misspelt field": (
        frames("f['ammount'] = 1"),
        "no field ammount (did you mean amount?)",
        "those that it has: id, amount",
    ),
    "a misspelt reason": (frames("f['_drop'] = 'x'"), "did you mean _dropped?", "id"),
    "a record that a join made other": (frames("f['_ordinal'] *= 1.0"), "_ordinal must be the number", "double"),
    "too many records behind a row": (
        AR + "yield pa.table({'_ordinals': [b['_ordinal'].to_pylist()], 'id': ['x']})",
        "yields` is one_to_one",
        "`aggregate` permits it",
    ),
    "a value that would be rounded": (frames("f['amount'] = 1 / 3"), "The value of amount does not fit", "record 1"),
    "a text that is too long": (frames("f['id'] = 'x' * 21"), "longer than 20", "id"),
    "no table": ("def transform(batches, params):\n    yield 3\n", "yielded an int", "yield Arrow"),
    "nothing yielded": (AR + "yield print()", "yielded None", "yield Arrow"),
    "dicts": (AR + "yield b.to_pylist()", "yielded a list of dict", "pyarrow.Table.from_pylist"),
    "returned dicts": (
        "def transform(batches, params):\n    return batches.table().to_pylist()\n",
        "returned a list of dict",
        "from_pylist",
    ),
    "columns": (
        "def transform(batches, params):\n    return batches.table().to_pydict()\n",
        "returned a dict",
        "pyarrow.table",
    ),
    "a column": (
        "def transform(batches, params):\n    return next(batches.pandas())['id']\n",
        "returned a Series",
        "yield Arrow",
    ),
    "tables in a list": (AR + "yield [b, b]", "yielded a list of RecordBatch", "one by one"),
    "mixed values": (
        frames("f['amount'] = [1.5, *f['amount'][1:]]"),
        "the column 'amount' of the DataFrame",
        "several kinds",
    ),
    "no name": (frames("f.columns = range(4)"), "named 0", "text"),
    "a list of records as one": (
        frames("f['_ordinal'] = [[1]] * 10"),
        "_ordinal is the number of one record",
        "called _ordinals",
    ),
    "bytes": (frames("f['id'] = b'x'"), "holds binary", "give text"),
    "a span of time": (frames("f['amount'] = pd.Timedelta(days=1)"), "holds duration", "number of its seconds"),
    "objects": (
        PL + "yield f.with_columns(id=pl.Series([object()] * 10, dtype=pl.Object))",
        "'id' holds Python objects",
        "no field can",
    ),
    "a number beyond all": (
        PL + "yield f.with_columns(amount=pl.lit(2**80, dtype=pl.Int128))",
        "column 'amount'",
        "i64",
    ),
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


async def test_a_personal_value_is_not_shown(server: JobServer, tmp_path: Path) -> None:
    """The reason of a refusal is kept with the run: of a personal field it names the record alone."""
    fields = (SchemaField(name="id", type="text", max_length=3, personal=True),)
    code = frames("f = f[['_ordinal', 'id']].assign(id='secret')")
    error = await stopped(server, tmp_path, code, target=SchemaSpec(fields=fields))
    assert "id is longer than 3 characters (10 rows, such as the one of record 1)" in error.message
    assert "secret" not in error.message


async def test_what_is_no_stream_of_rows_is_refused(server: JobServer, tmp_path: Path) -> None:
    """Code that writes its own bytes where rows go is found out at the gate."""
    code = (
        "import random\ndef transform(batches, params):\n    os = random._os\n"
        "    for d in range(3, 40):\n        try: os.write(d, b'\\xff\\xff\\xff\\xff\\x10\\x00\\x00\\x00' + b'x' * 64)\n"
        "        except OSError: pass\n    yield from batches\n"
    )
    error = await stopped(server, tmp_path, code)
    assert error.code in ("bad-rows", "transform-failed", "transform-crashed")
