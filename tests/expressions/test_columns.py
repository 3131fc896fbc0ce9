"""A source's columns as the schema's fields, and values fitted into them: nothing is repaired, rounded or lost in silence."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.vocabulary.schemas import SchemaField, SchemaSpec
from libs.expressions import (
    compile_expression,
    fitted,
    typed_columns,
)
from tests.expressions.conftest import MOMENT, SCHEMA, SCOPE
from tests.expressions.test_fuzz import FUZZ


def read(engine: duckdb.DuckDBPyConnection, field: SchemaField, physical: str, raw: Any) -> tuple[Any, bool, bool]:
    column = typed_columns(SchemaSpec(fields=(field,)), {field.name: physical})[0]
    value = f"CAST(({column.sql}) AS VARCHAR)"
    source = f'(SELECT CAST($1 AS {physical}) AS "{field.name}") AS "r"'
    row = engine.execute(f"SELECT {value}, {column.conforms}, {column.fits} FROM {source}", [raw]).fetchone()
    assert row is not None
    return row


GOOD = [
    ("integer", "42", "42"), ("integer", "-0042", "-42"), ("integer", "+1", "1"), ("integer", "999999999999999999", "999999999999999999"),
    ("decimal", "1", "1.00"), ("decimal", "-1.5", "-1.50"), ("decimal", "+0001.50000", "1.50"), ("decimal", "999.99", "999.99"),
    ("boolean", "true", "true"), ("boolean", "false", "false"),
    ("date", "2024-02-29", "2024-02-29"), ("date", "0001-01-01", "0001-01-01"), ("date", "9999-12-31", "9999-12-31"),
    ("timestamp", "2025-03-10T09:45:48.892677Z", "2025-03-10 09:45:48.892677+00"), ("timestamp", "2025-03-10 09:45:48+01:00", "2025-03-10 08:45:48+00"),
    ("timestamp", "2025-03-10T09:45Z", "2025-03-10 09:45:00+00"), ("timestamp", "2025-03-10T09:45:48.123456000-0530", "2025-03-10 15:15:48.123456+00"),
    ("timestamp", "9999-12-31T23:59:59Z", "9999-12-31 23:59:59+00"), ("timestamp", "2025-03-10T09:45:00+01", "2025-03-10 08:45:00+00"),
    ("timestamp", "0001-01-01T00:00:00Z", "0001-01-01 00:00:00+00"), ("timestamp", "0001-01-01T01:00:00+01:00", "0001-01-01 00:00:00+00"),
    ("timestamp", "9999-12-31T00:00:00+00:00", "9999-12-31 00:00:00+00"), ("timestamp", "9999-12-31T22:59:59-01:00", "9999-12-31 23:59:59+00"),
    ("text", " a ", " a "),
]  # fmt: skip

BAD = [
    ("integer", "1.0"), ("integer", " 1"), ("integer", "1 "), ("integer", "1e3"), ("integer", "1234567890123456789"), ("integer", "abc"),
    ("integer", "0x1"), ("integer", "1_000"), ("integer", "\u0661"), ("integer", "1\n"), ("integer", " "),
    ("decimal", "1,5"), ("decimal", "1e3"), ("decimal", "nan"), ("decimal", "inf"), ("decimal", "1.555"), ("decimal", "1000"), ("decimal", ".5"),
    ("decimal", "5."), ("decimal", " 1"), ("decimal", "one"), ("decimal", "1.5 EUR"), ("decimal", "1..5"), ("decimal", "--1"),
    ("boolean", "True"), ("boolean", "1"), ("boolean", "yes"), ("boolean", " true"), ("boolean", "t"),
    ("date", "2025-02-29"), ("date", "2025-1-5"), ("date", "20250105"), ("date", "0000-01-01"), ("date", "10000-01-01"), ("date", "infinity"),
    ("date", "2025-01-05 "), ("date", "2025-13-01"), ("date", "05/01/2025"), ("date", "2025-01-05T00:00:00Z"), ("date", "today"), ("date", "epoch"),
    ("timestamp", "2025-03-10T09:45:48"), ("timestamp", "2025-03-10"), ("timestamp", "2025-02-30T09:45:48Z"), ("timestamp", "2025-03-10T24:00:00Z"),
    ("timestamp", "2025-03-10T09:60:00Z"), ("timestamp", "2025-03-10T09:00:60Z"), ("timestamp", "2025-03-10T09:00:00.1234567Z"),
    ("timestamp", "2025-03-10T09:00:00+99:00"), ("timestamp", "now"), ("timestamp", "0000-01-01T00:00:00Z"), ("timestamp", "0001-01-01T00:00:00+14:00"),
    ("timestamp", "9999-12-31T23:59:59-01:00"), ("timestamp", "0000-12-31T23:00:00-02:00"), ("timestamp", "0001-01-01T00:59:59+01:00"), ("timestamp", "2025-03-10t09:00:00z"), ("timestamp", "2025-03-10T09:00:00 Europe/Paris"),
]  # fmt: skip


def field_of(kind: Any) -> SchemaField:
    return SchemaField(name="x", type=kind, precision=5, scale=2)


@pytest.mark.parametrize(("kind", "raw", "value"), GOOD)
def test_text_that_conforms(engine: duckdb.DuckDBPyConnection, kind: str, raw: str, value: str) -> None:
    """Text in the field's notation becomes its value."""
    assert read(engine, field_of(kind), "VARCHAR", raw) == (value, True, True)


@pytest.mark.parametrize(("kind", "raw"), BAD)
def test_text_that_does_not_conform(engine: duckdb.DuckDBPyConnection, kind: str, raw: str) -> None:
    """Any other text is null and does not conform; nothing is repaired silently."""
    assert read(engine, field_of(kind), "VARCHAR", raw) == (None, False, True)


@pytest.mark.parametrize("kind", ["text", "integer", "decimal", "boolean", "date", "timestamp"])
@pytest.mark.parametrize("raw", [None, ""])
def test_absent_conforms(engine: duckdb.DuckDBPyConnection, kind: str, raw: str | None) -> None:
    """Null and the empty string are absent values of every type."""
    assert read(engine, field_of(kind), "VARCHAR", raw) == (None, True, True)


PHYSICAL = [
    ("integer", "INTEGER", 7, "7", True),
    ("integer", "BIGINT", 2**63 - 1, str(2**63 - 1), True),
    ("integer", "HUGEINT", 2**64, None, False),
    ("integer", "DOUBLE", 7.5, None, False),
    ("integer", "DECIMAL(10,0)", Decimal(7), "7", True),
    ("integer", "DECIMAL(10,2)", Decimal("7.50"), None, False),
    ("decimal", "DECIMAL(4,1)", Decimal("1.5"), "1.50", True),
    ("decimal", "DECIMAL(18,4)", Decimal("1.5000"), "1.50", True),
    ("decimal", "DECIMAL(18,4)", Decimal("1.5001"), None, False),
    ("decimal", "DECIMAL(18,2)", Decimal("1000.00"), None, False),
    ("decimal", "DECIMAL(3,3)", Decimal("0.500"), "0.50", True),
    ("decimal", "DECIMAL(3,3)", Decimal("-0.050"), "-0.05", True),
    ("decimal", "DECIMAL(38,38)", Decimal("0.25"), "0.25", True),
    ("decimal", "DECIMAL(3,3)", Decimal("0.505"), None, False),
    ("decimal", "INTEGER", 999, "999.00", True),
    ("decimal", "INTEGER", 1000, None, False),
    ("decimal", "DOUBLE", 0.1, "0.10", True),
    ("decimal", "DOUBLE", float("nan"), None, False),
    ("decimal", "DOUBLE", 1e300, None, False),
    ("boolean", "BOOLEAN", True, "true", True),
    ("boolean", "INTEGER", 1, None, False),
    ("date", "DATE", date(2025, 1, 5), "2025-01-05", True),
    ("date", "DATE", "infinity", None, False),
    ("date", "DATE", "0044-03-15 (BC)", None, False),
    ("timestamp", "TIMESTAMP WITH TIME ZONE", datetime(2025, 1, 5, 9, tzinfo=UTC), "2025-01-05 09:00:00+00", True),
    ("timestamp", "TIMESTAMP WITH TIME ZONE", "-infinity", None, False),
    ("timestamp", "TIMESTAMP", datetime(2025, 1, 5, 9), None, False),  # noqa: DTZ001 - a column without zones
    ("text", "INTEGER", 7, "7", True),
    ("text", "DECIMAL(18,4)", Decimal("1.5"), "1.5000", True),
    ("text", "DECIMAL(2,2)", Decimal("-0.05"), "-0.05", True),
    ("text", "DATE", date(2025, 1, 5), "2025-01-05", True),
    ("text", "TIMESTAMP WITH TIME ZONE", datetime(2025, 1, 5, 9, tzinfo=UTC), "2025-01-05T09:00:00Z", True),
]


@pytest.mark.parametrize(("kind", "physical", "raw", "value", "conforms"), PHYSICAL)
def test_typed_column(
    engine: duckdb.DuckDBPyConnection, kind: str, physical: str, raw: Any, value: str | None, *, conforms: bool
) -> None:
    """Columns that the source typed are taken as they are, and lose nothing: what does not fit does not conform."""
    assert read(engine, field_of(kind), physical, raw) == (value, conforms, True)


@pytest.mark.parametrize(
    ("kind", "physical", "extremes"),
    [
        ("integer", "BIGINT", [-(2**63), 2**63 - 1]),
        ("integer", "HUGEINT", None),
        ("integer", "VARCHAR", None),
        ("decimal", "DECIMAL(5,2)", ["-999.99", "999.99"]),
        ("decimal", "DECIMAL(4,1)", ["-999.9", "999.9"]),
        ("decimal", "DECIMAL(6,2)", None),
        ("decimal", "DECIMAL(5,1)", None),
        ("decimal", "BIGINT", None),
        ("boolean", "BOOLEAN", [True, False]),
        ("date", "DATE", None),
    ],
)
def test_only_what_can_fail_is_checked(
    engine: duckdb.DuckDBPyConnection, kind: str, physical: str, extremes: list[Any] | None
) -> None:
    """A column whose every value is of the field's type costs no check; its extremes are read, so is nothing."""
    column = typed_columns(SchemaSpec(fields=(field_of(kind),)), {"x": physical})[0]
    assert (column.conforms == "true") == (extremes is not None)
    for raw in [*(extremes or []), None]:
        value, conforms, _ = read(engine, field_of(kind), physical, raw)
        assert conforms
        assert (value is None) == (raw is None)


def test_length_is_counted_in_characters(engine: duckdb.DuckDBPyConnection) -> None:
    """`fits` is false for text with more characters than `max_length`, whatever their bytes."""
    field = SchemaField(name="x", type="text", max_length=3)
    assert read(engine, field, "VARCHAR", "é✓x") == ("é✓x", True, True)
    assert read(engine, field, "VARCHAR", "abcd") == ("abcd", True, False)
    assert read(engine, field, "VARCHAR", None) == (None, True, True)


@FUZZ
@given(
    st.sampled_from(["integer", "decimal", "boolean", "date", "timestamp", "text"]),
    st.text(max_size=30) | st.text("0123456789+-.:TZ ", max_size=30),
)
def test_conversion_never_fails(engine: duckdb.DuckDBPyConnection, kind: str, raw: str) -> None:
    """No text whatever makes the typed view fail, and a value conforms exactly when it is absent or converted."""
    value, conforms, _ = read(engine, field_of(kind), "VARCHAR", raw.replace("\0", ""))
    assert conforms == (value is not None or raw.replace("\0", "") == "")


def test_missing_column_is_named() -> None:
    """A column that the source lacks is a KeyError with its name."""
    with pytest.raises(KeyError, match="code"):
        typed_columns(SCHEMA, {})


def test_fields_are_reported() -> None:
    """The names of the fields that an expression reads come with it."""
    compiled = compile_expression("price > 1 and (code == 'x' or field('lots') is None)", SCOPE, MOMENT)
    assert set(compiled.fields) == {"price", "code", "lots"}
    assert compiled.type == "boolean"
    assert compiled.total


@pytest.mark.parametrize(
    ("text", "value"), [("2.345", "2.34"), ("2.355", "2.36"), ("1000", None), ("quantity", "-7.00"), ("null", None)]
)
def test_fitted_into_a_field(engine: duckdb.DuckDBPyConnection, text: str, value: str | None) -> None:
    """A decimal is rounded half-even to the field's scale; one that is too large becomes null, never an error."""
    compiled = compile_expression(text, SCOPE, MOMENT, "decimal")
    sql = fitted(compiled, field_of("decimal"))
    row = engine.execute(f'SELECT CAST({sql} AS VARCHAR) FROM (SELECT -7::BIGINT AS quantity) AS "t"').fetchone()
    assert row == (value,)
