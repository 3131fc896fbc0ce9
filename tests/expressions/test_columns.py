from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.vocabulary.mappings import MappingEntry, MappingSpec
from libs.common.vocabulary.schemas import SchemaField, SchemaSpec
from libs.expressions import (
    business_key,
    compile_expression,
    fitted,
    joins,
    mapping_rows,
    quote_identifier,
    quote_literal,
    typed_columns,
)
from tests.expressions.conftest import MOMENT, SCHEMA, SCOPE
from tests.expressions.test_fuzz import FUZZ

NULL = object()


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
    ("timestamp", "9999-12-31T23:59:59-01:00"), ("timestamp", "2025-03-10t09:00:00z"), ("timestamp", "2025-03-10T09:00:00 Europe/Paris"),
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


# --- business keys ----------------------------------------------------------------------------------------------------


def key(engine: duckdb.DuckDBPyConnection, columns: dict[str, tuple[str, Any]]) -> str:
    schema = SchemaSpec(fields=tuple(SchemaField(name=name, type="text") for name in columns))
    sql = business_key(schema, list(columns), {name: physical for name, (physical, _) in columns.items()})
    source = ", ".join(
        f'CAST(${index + 1} AS {physical}) AS "{name}"' for index, (name, (physical, _)) in enumerate(columns.items())
    )
    row = engine.execute(
        f'SELECT {sql} FROM (SELECT {source}) AS "r"', [value for _, value in columns.values()]
    ).fetchone()
    assert row is not None
    return str(row[0])


def test_business_key(engine: duckdb.DuckDBPyConnection) -> None:
    """Source text joined by `|`, both separators escaped, null as the empty string."""
    assert key(engine, {"a": ("VARCHAR", "x|y"), "b": ("VARCHAR", "c\\d"), "c": ("VARCHAR", None)}) == "x\\|y|c\\\\d|"
    typed = {
        "a": ("BIGINT", 7),
        "b": ("DATE", date(2025, 1, 5)),
        "c": ("TIMESTAMP WITH TIME ZONE", datetime(2025, 1, 5, 9, tzinfo=UTC)),
    }
    assert key(engine, typed) == "7|2025-01-05|2025-01-05T09:00:00Z"
    assert key(engine, {"a": ("VARCHAR", " 007 "), "b": ("DECIMAL(18,4)", Decimal("1.5"))}) == " 007 |1.5000"


@FUZZ
@given(st.text("ab|\\é\0", max_size=5))
def test_business_keys_escape_both_marks(engine: duckdb.DuckDBPyConnection, text: str) -> None:
    """Whether or not there is anything to escape, the text is the one that escaping each mark gives; a NUL is its sign."""
    escaped = text.replace("\\", "\\\\").replace("|", "\\|")
    assert key(engine, {"a": ("VARCHAR", text)}) == escaped.replace("\0", "\u2400")


@FUZZ
@given(st.tuples(*[st.text("ab|\\", max_size=5)] * 2), st.tuples(*[st.text("ab|\\", max_size=5)] * 2))
def test_business_keys_of_different_records_differ(
    engine: duckdb.DuckDBPyConnection, one: tuple[str, str], two: tuple[str, str]
) -> None:
    """Escaping keeps the key unambiguous."""
    keys = [key(engine, {"a": ("VARCHAR", left), "b": ("VARCHAR", right)}) for left, right in (one, two)]
    assert (keys[0] == keys[1]) == (one == two)


def test_unknown_key_field() -> None:
    """A key field outside the schema is a KeyError."""
    with pytest.raises(KeyError, match="nope"):
        business_key(SCHEMA, ["nope"], {})


# --- mappings and joins -----------------------------------------------------------------------------------------------


def test_mapping_rows_of_the_day() -> None:
    """Only entries valid on the business date appear, both end days included; absent values are null."""
    spec = MappingSpec(
        columns=("lei", "country"),
        entries=(
            MappingEntry(key="A", values={"lei": "old"}, valid_to=date(2025, 3, 9)),
            MappingEntry(key="A", values={"lei": "new"}, valid_from=date(2025, 3, 10)),
            MappingEntry(key="B", values={"country": "DE"}, valid_from=date(2025, 3, 11)),
            MappingEntry(key="C", values={"lei": "c", "country": "FR"}),
        ),
    )
    assert mapping_rows(spec, date(2025, 3, 10)).to_pylist() == [
        {"key": "A", "lei": "new", "country": None},
        {"key": "C", "lei": "c", "country": "FR"},
    ]
    assert mapping_rows(spec, date(2025, 3, 9)).column("lei").to_pylist() == ["old", "c"]


def test_mapping_column_named_key_is_refused() -> None:
    """`key` is the table's own column."""
    with pytest.raises(ValueError, match="key"):
        mapping_rows(MappingSpec(columns=("key",), entries=()), date(2025, 3, 10))


def test_equal_lookups_share_one_join() -> None:
    """Two expressions that look the same key up need one join; another key needs another; inner lookups come first."""
    texts = [
        "lookup('cp', code, 'lei')",
        "lookup('cp', code, 'country') == 'DE' and has('cp', code)",
        "lookup('cp', lookup('cp', code, 'lei'), 'lei')",
    ]
    compiled = [compile_expression(text, SCOPE, MOMENT) for text in texts]
    sql = joins(compiled)
    assert sql.count("LEFT JOIN") == 2
    outer = compiled[2].lookups
    assert [outer[0].key_sql, outer[0].alias in outer[1].key_sql] == ['"t"."code"', True]
    assert joins([compile_expression("code", SCOPE, MOMENT)]) == ""


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


# --- quoting ----------------------------------------------------------------------------------------------------------


@FUZZ
@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_quoted_literal_is_the_text(engine: duckdb.DuckDBPyConnection, text: str) -> None:
    """A quoted literal reads back as the text, whatever it holds."""
    assert engine.execute(f"SELECT {quote_literal(text)}").fetchone() == (text,)


@FUZZ
@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
def test_quoted_identifier_is_the_name(engine: duckdb.DuckDBPyConnection, name: str) -> None:
    """A quoted identifier names exactly that column."""
    description = engine.execute(f"SELECT 1 AS {quote_identifier(name)}").description
    assert description is not None
    assert description[0][0] == name


@pytest.mark.parametrize("text", ["\0", "a\0b", "\ud800"])
def test_unstorable_text_is_not_quoted(text: str) -> None:
    """NULs and lone surrogates are refused."""
    with pytest.raises(ValueError, match="NUL"):
        quote_literal(text)
    with pytest.raises(ValueError, match="NUL"):
        quote_identifier(text)


def test_empty_identifier_is_refused() -> None:
    """An identifier has at least one character."""
    with pytest.raises(ValueError, match="empty"):
        quote_identifier("")
