"""What is counted beside the verdicts: values by field, failing records by field, rule and severity."""

import json
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from libs.common.jail import JobServer
from libs.common.vocabulary.schemas import SchemaSpec
from libs.expressions import MappingTable
from services.validator.jail import broker
from services.validator.jail.broker import Measures, Request, ResultError, validate
from services.validator.plan import Subject, build_plan
from tests.validator.judging import MAPPINGS, MOMENT, SCHEMA, TABLES, planned, record, rule

RULES = [
    rule("positive", "price > 0"),
    rule("known", "venue in ('X', 'Y')", severity="warning"),
    rule("versioned", "version > 0", severity="warning", fields=["version", "venue"]),
    rule("upper", "ccy == upper(ccy)", severity="correctable", fix={"field": "ccy", "expression": "upper(ccy)"}),
]
RECORDS = [
    record(trade_id="T1"),
    record(trade_id="T2", price="-1", venue="Z"),
    record(trade_id="T3", price=None, ccy="usd", version="0"),
    record(trade_id="T4", price="x", venue="", version="0"),
    record(trade_id="T5", venue="Z", version=None, ccy=""),
]


async def measured(jail: JobServer, folder: Path, columns: dict[str, Any], **options: Any) -> Measures:
    pq.write_table(pa.table(columns), folder / "data.parquet", **options)
    request = Request(planned(RULES), folder / "data.parquet", folder, MAPPINGS, measure=True)
    outcome = await validate(jail, request)
    assert outcome.measures is not None
    return outcome.measures


def columns_of(records: list[dict[str, str | None]]) -> dict[str, Any]:
    columns: dict[str, Any] = {"_ordinal": pa.array(range(1, len(records) + 1), pa.int64())}
    return columns | {
        field.name: pa.array([one[field.name] for one in records], pa.string()) for field in SCHEMA.fields
    }


async def test_counts_are_those_of_the_records(jail: JobServer, tmp_path: Path) -> None:
    """Empty texts are no values; a record that fails twice counts once for a field and once for a severity."""
    found = await measured(jail, tmp_path, columns_of(RECORDS))
    assert {one.name: one.given for one in found.fields} == {
        "trade_id": 5, "version": 4, "price": 4, "ccy": 4, "venue": 4, "action": 5,
    }  # fmt: skip
    failed = pq.read_table(tmp_path / "failures.parquet").to_pylist()
    by_field: dict[str, set[int]] = {}
    for one in failed:
        for name in json.loads(one["fields"]):
            by_field.setdefault(name, set()).add(one["_ordinal"])
    assert {one.name: one.failed for one in found.fields if one.failed} == {n: len(s) for n, s in by_field.items()}
    assert by_field["venue"] == {2, 3, 4, 5}
    assert (found.warned, found.corrected) == (4, 1)
    assert found.rules == {"positive": 1, "known": 2, "versioned": 2, "upper": 1, "schema:price:type": 1}


@pytest.mark.parametrize("options", [{"write_statistics": False}, {"row_group_size": 2}, {}])
async def test_completeness_needs_no_statistics(jail: JobServer, tmp_path: Path, options: dict[str, Any]) -> None:
    """The count is the same whether the file tells it or the data have to be read."""
    found = await measured(jail, tmp_path, columns_of(RECORDS * 3), **options)
    expected = {field.name: 3 * sum(bool(one[field.name]) for one in RECORDS) for field in SCHEMA.fields}
    assert {one.name: one.given for one in found.fields} == expected


async def test_typed_columns_are_counted(jail: JobServer, tmp_path: Path) -> None:
    """Columns that are not text have no empty texts; what the engine wrote is counted as what Arrow wrote."""
    fields = [
        {"name": "id", "type": "text"},
        {"name": "amount", "type": "decimal"},
        {"name": "booked", "type": "timestamp"},
    ]
    schema = SchemaSpec.model_validate({"fields": fields})
    types = {"id": "VARCHAR", "amount": "DECIMAL(28,10)", "booked": "TIMESTAMP WITH TIME ZONE"}
    tables: dict[Any, MappingTable] = TABLES
    plan = build_plan(Subject(source=schema, column_types=types), [], tables, MOMENT)
    rows = "VALUES (1, 'a', 1.5, now()), (2, NULL, NULL, now()), (3, '', 2, NULL)"
    cast = "_o::BIGINT AS _ordinal, id, amount::DECIMAL(28,10) AS amount, booked"
    with duckdb.connect() as engine:
        engine.execute(f"COPY (SELECT {cast} FROM ({rows}) v (_o, id, amount, booked)) TO '{tmp_path}/data.parquet'")
    outcome = await validate(jail, Request(plan, tmp_path / "data.parquet", tmp_path, measure=True))
    assert outcome.measures is not None
    assert {one.name: one.given for one in outcome.measures.fields} == {"id": 1, "amount": 2, "booked": 2}


def test_more_than_there_are_records_is_not_believed() -> None:
    """A count above the number of records is refused, whatever it is of."""
    answer: dict[str, Any] = {"rows": 2, "rules": [], "failures": 0, "held": 0, "corrections": 0}
    sound = {"warned": 2, "corrected": 0, "rules": {"r": 2}, "fields": [{"name": "a", "given": 2, "failed": 2}]}
    assert broker._checked({**answer, "measures": sound}).measures
    for change in (
        {"warned": 3},
        {"corrected": 3},
        {"rules": {"r": 3}},
        {"fields": [{"name": "a", "given": 3, "failed": 0}]},
    ):
        with pytest.raises(ResultError):
            broker._checked({**answer, "measures": {**sound, **change}})
