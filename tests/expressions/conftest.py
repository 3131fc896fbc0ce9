from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from typing import Any

import duckdb
import pytest

from libs.common.vocabulary.schemas import SchemaField, SchemaSpec
from libs.expressions import MappingTable, Moment, Scope, compile_expression, joins

SCHEMA = SchemaSpec(
    fields=(
        SchemaField(name="code", type="text"),
        SchemaField(name="isin_code", type="text", max_length=12),
        SchemaField(name="quantity", type="integer"),
        SchemaField(name="lots", type="integer"),
        SchemaField(name="price", type="decimal", precision=18, scale=4),
        SchemaField(name="amount", type="decimal"),
        SchemaField(name="active", type="boolean"),
        SchemaField(name="closed", type="boolean"),
        SchemaField(name="trade_date", type="date"),
        SchemaField(name="executed_at", type="timestamp"),
    )
)
SCOPE = Scope(SCHEMA, {"cp": MappingTable("map_cp", ("lei", "country"))})
MOMENT = Moment(date(2025, 3, 10), datetime(2025, 3, 11, 6, tzinfo=UTC))
TYPES = {
    "text": "VARCHAR",
    "integer": "BIGINT",
    "boolean": "BOOLEAN",
    "date": "DATE",
    "timestamp": "TIMESTAMPTZ",
}
RECORD: dict[str, Any] = {
    "code": "Ab c",
    "isin_code": "US0378331005",
    "quantity": -7,
    "lots": None,
    "price": "7.5000",
    "amount": "1234.5678900000",
    "active": True,
    "closed": None,
    "trade_date": "2024-02-29",
    "executed_at": "2025-03-10 23:30:00.120+00",
}


def column_type(field: SchemaField) -> str:
    return f"DECIMAL({field.precision},{field.scale})" if field.type == "decimal" else TYPES[field.type]


def connect() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("SET TimeZone='UTC'")
    connection.execute("SET threads=1")
    columns = ", ".join(f'"{field.name}" {column_type(field)}' for field in SCHEMA.fields)
    connection.execute(f"CREATE TABLE record ({columns})")
    connection.execute("CREATE TABLE map_cp (key VARCHAR, lei VARCHAR, country VARCHAR)")
    connection.execute("INSERT INTO map_cp VALUES ('CP1', 'LEI1', 'DE'), ('LEI1', 'deep', NULL)")
    return connection


def insert(connection: duckdb.DuckDBPyConnection, record: dict[str, Any]) -> None:
    connection.execute("DELETE FROM record")
    marks = ", ".join(f"CAST(${index + 1} AS {column_type(field)})" for index, field in enumerate(SCHEMA.fields))
    connection.execute(f"INSERT INTO record VALUES ({marks})", [record[field.name] for field in SCHEMA.fields])


@pytest.fixture(scope="session")
def engine() -> Iterator[duckdb.DuckDBPyConnection]:
    connection = connect()
    yield connection
    connection.close()


@pytest.fixture
def evaluate(engine: duckdb.DuckDBPyConnection) -> Callable[..., str | None]:
    """Give the text of an expression's value on RECORD, with some fields changed."""

    def run(text: str, **changes: Any) -> str | None:
        insert(engine, RECORD | changes)
        compiled = compile_expression(text, SCOPE, MOMENT)
        sql = f'SELECT CAST({compiled.sql} AS VARCHAR) FROM record AS "t" {joins([compiled])}'
        rows = engine.execute(sql).fetchall()
        assert len(rows) == 1
        value: str | None = rows[0][0]
        return value

    return run
