"""What the tests of transforms share: records, code run over them in the real jail, and what it left behind."""

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
from services.validator.jail.answers import TransformStoppedError, log_excerpt
from services.validator.jail.limits import Budget
from services.validator.jail.transforms import Done, Work, transform

TARGET = SchemaSpec(
    fields=(
        SchemaField(name="id", type="text", required=True, max_length=20),
        SchemaField(name="amount", type="decimal", scale=2),
    )
)
PASSING = "def transform(batches, params):\n    yield from batches\n"


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
    budget, target = Budget(**more.pop("budget", {})), more.pop("target", TARGET)
    chosen: PythonTransform | SqlTransform
    if code.lstrip().startswith("SELECT"):
        chosen = SqlTransform(kind="sql", query=code, yields=yields, **more)
    else:
        chosen = PythonTransform(kind="python", code=code, yields=yields, **more)
    work = Work(chosen, code, target, records(scratch / "records.parquet", count), scratch, mappings)
    done = await transform(server, work, budget)
    rows, trace, drops = (pq.read_table(scratch / f"{name}.parquet").to_pylist() for name in ("rows", "trace", "drops"))
    return Outcome(done, rows, trace, drops, log_excerpt(scratch))


async def stopped(server: JobServer, scratch: Path, code: str, **more: Any) -> TransformStoppedError:
    """Run code that gives nothing, and return why."""
    with pytest.raises(TransformStoppedError) as caught:
        await run(server, scratch, code, **more)
    return caught.value
