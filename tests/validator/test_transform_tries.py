"""What is shown of a tried transform: said by a child that reads the rows anew, for the gate that left them may lie."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from libs.common.jail import JobServer
from libs.common.vocabulary.transforms import PythonTransform
from services.validator.jail.answers import TransformStoppedError, clean
from services.validator.jail.limits import Budget
from services.validator.jail.transforms import Work, show, transform
from tests.validator.transforming import PASSING, TARGET, records


def tried(scratch: Path, code: str, yields: Any) -> Work:
    """Return a try of code over ten records."""
    chosen = PythonTransform(kind="python", code=code, yields=yields)
    return Work(chosen, code, TARGET, records(scratch / "records.parquet"), scratch)


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
