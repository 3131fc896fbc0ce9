"""Sums of numbers that are nearly too wide."""

from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest

from libs.common.jail import JobServer
from libs.common.vocabulary.schemas import SchemaSpec
from services.validator.plan import Subject, build_plan
from tests.validator.judging import MOMENT, judge, judge_table, measured, record, rule


@pytest.mark.parametrize("scale", [0, 10, 18, 25, 38])
async def test_sums_of_the_widest_numbers_are_exact_or_unknown(jail: JobServer, tmp_path: Path, scale: int) -> None:
    """What 38 digits do not hold is null, never an error; what comes back into them on the way is exact."""
    schema = SchemaSpec.model_validate(
        {
            "fields": [
                {"name": "book", "type": "text"},
                {"name": "x", "type": "decimal", "precision": 38, "scale": scale},
            ]
        }
    )
    large, small = (Decimal(f"{digits}E-{scale}") for digits in ("9" * 38, "4" * 37))
    values = {
        "over": [large] * 3,
        "under": [large.copy_negate()] * 2,
        "back": [large, small, large, large.copy_negate(), large.copy_negate()],
        "one": [small.copy_negate()],
    }
    rows = [(book, f"{value:f}") for book, each in values.items() for value in each]
    total = measured({"total": {"function": "sum", "value": "x"}}, "false", group_by=["book"], fails="first")
    plan = build_plan(
        Subject(source=schema, column_types={"book": "VARCHAR", "x": "VARCHAR"}),
        [rule("total", total, message="{total}"), rule("known", {**total, "condition": "total is not null"})],
        {},
        MOMENT,
    )
    data = pa.table(
        {
            "_ordinal": pa.array(range(1, len(rows) + 1), pa.int64()),
            "book": [r[0] for r in rows],
            "x": [r[1] for r in rows],
        }
    )
    judged = await judge_table(jail, tmp_path, plan, data)
    assert judged.outcome.errored == ()
    told = {one["_ordinal"]: one["message"] for one in judged.failures if one["rule_id"] == "total"}
    assert told == {1: "(empty)", 4: "(empty)", 6: f"{small:f}", 11: f"{small.copy_negate():f}"}
    assert judged.ordinals("known") == [1, 4]


async def test_a_worked_out_number_enters_its_sum_however_large(jail: JobServer, tmp_path: Path) -> None:
    """A product of more than 18 digits before the point is no less part of a sum than a field."""
    check = measured({"total": {"function": "sum", "value": "price * version"}}, "false", fails="first")
    records = [record(price="90000000000000", version="100000"), record(price="0.5", version="1")]
    [failure] = (await judge(jail, tmp_path, [rule("total", check, message="{total}")], records)).failures
    assert failure["message"] == "9000000000000000000.5000000000"
