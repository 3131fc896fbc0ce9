"""Sums beside a lookup of what no mapping has: the engine takes such a join for empty, and adds up as if it were."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from libs.common.jail import JobServer
from services.validator.plan import ResolvedRule, Subject, build_plan
from tests.validator.judging import MOMENT, SCHEMA, TABLES, judge_table, mapping, measured, rule

_PRICES = [Decimal(-90000000000000), Decimal(90000000000000), Decimal(90000000000000)]
_VENUE = {"field": "venue", "expression": "lookup('venues', 'nowhere', 'mic')"}
_QUERY = (
    "SELECT _ordinal FROM records WHERE (SELECT sum(r.version) FROM records r LEFT JOIN records o"
    " ON o._ordinal = r._ordinal AND o.version = 1) {} 27000000000000000000"
)


async def found(jail: JobServer, directory: Path, rules: list[ResolvedRule]) -> dict[str, list[int]]:
    """Judge thirty records whose columns are stored as a table's are; return who fails, by rule."""
    count = 30
    data = pa.table(
        {
            "_ordinal": pa.array(range(1, count + 1), pa.int64()),
            **{name: pa.array(["X"] * count) for name in ("trade_id", "ccy", "venue", "action")},
            "version": pa.array([900_000_000_000_000_000] * count, pa.int64()),
            "price": pa.array(_PRICES * (count // 3), pa.decimal128(18, 4)),
        }
    )
    types = {field.name: "VARCHAR" for field in SCHEMA.fields} | {"version": "BIGINT", "price": "DECIMAL(18,4)"}
    judged = await judge_table(
        jail, directory, build_plan(Subject(source=SCHEMA, column_types=types), rules, TABLES, MOMENT), data
    )
    assert judged.outcome.errored == ()
    return {one.id: judged.ordinals(one.id) for one in rules}


async def test_a_group_is_judged_by_what_its_sum_is(jail: JobServer, tmp_path: Path) -> None:
    """S3: a sum beside a fix that finds nothing is compared, and does not wrap around."""
    fix = rule("fix", "has('venues', 'nowhere')", severity="correctable", fix=_VENUE, mappings=mapping())
    prices: dict[str, Any] = {"total": {"function": "sum", "value": "price"}}
    versions: dict[str, Any] = {"total": {"function": "sum", "value": "version"}}
    rules = [
        fix,
        rule("positive", measured(prices, "total > 0")),
        rule("large", measured(versions, "total == 27000000000000000000")),
    ]
    assert await found(jail, tmp_path, rules) == {"fix": [*range(1, 31)], "positive": [], "large": []}


async def test_a_measure_of_what_no_mapping_has_is_null(jail: JobServer, tmp_path: Path) -> None:
    """S3: its condition is a lookup that finds nothing; the other measures of the rule are what they are."""
    measures = {
        "none": {"function": "sum", "value": "price", "where": "has('venues', 'nowhere')"},
        "all": {"function": "sum", "value": "price", "where": "not has('venues', 'nowhere')"},
    }
    chosen = rule("chosen", measured(measures, "none is null and all > 0"), mappings=mapping())
    assert await found(jail, tmp_path, [chosen]) == {"chosen": []}


@pytest.mark.parametrize(("sign", "failing"), [("=", 30), ("<>", 0)])
async def test_a_query_adds_up_beside_a_join_that_finds_nothing(
    jail: JobServer, tmp_path: Path, sign: str, failing: int
) -> None:
    """S7: an outer join on a condition that no row meets loses nothing of the sum."""
    asked = rule("asked", {"kind": "sql", "sql": _QUERY.format(sign)})
    assert len((await found(jail, tmp_path, [asked]))["asked"]) == failing
