import pytest

from services.runner.engines.errors import SourceError
from services.runner.sources.columns import SourceColumn, match_columns
from tests.runner.datapath import schema

KINDS = ("text", "integer", "decimal", "boolean", "date", "timestamp")


@pytest.mark.parametrize(
    ("field", "column", "found"),
    [
        ("text", "text", "VARCHAR"), ("text", "uuid", "VARCHAR"), ("text", "int4", "VARCHAR"),
        ("integer", "int2", "BIGINT"), ("integer", "int8", "BIGINT"), ("integer", "text", "VARCHAR"),
        ("integer", "numeric", "VARCHAR"), ("decimal", "numeric", "DECIMAL(28,10)"), ("decimal", "int4", "DECIMAL(28,10)"),
        ("decimal", "float8", "VARCHAR"), ("boolean", "bool", "BOOLEAN"), ("boolean", "text", "VARCHAR"),
        ("date", "date", "DATE"), ("date", "varchar", "VARCHAR"),
        ("timestamp", "timestamptz", "TIMESTAMP WITH TIME ZONE"), ("timestamp", "text", "VARCHAR"),
    ],
)  # fmt: skip
def test_columns_that_fit(field: str, column: str, found: str) -> None:
    """Exactly the field's kind is read as such; what may hold it as text is read as text and judged record by record."""
    reading = match_columns(schema(a=field), [SourceColumn("a", column)])[0]
    assert reading.duckdb_type == found


@pytest.mark.parametrize(
    ("field", "column"),
    [(kind, column) for kind in KINDS for column in ("bytea", "json", "jsonb", "_text", "point", "xml")]
    + [
        ("date", "bool"), ("date", "timestamptz"), ("date", "int4"), ("boolean", "int4"), ("integer", "bool"),
        ("integer", "float8"), ("timestamp", "date"), ("timestamp", "timestamp"), ("decimal", "bool"),
    ],
)  # fmt: skip
def test_columns_that_cannot_fit(field: str, column: str) -> None:
    """A type that cannot hold the field's values is refused, naming column, found and expected type."""
    with pytest.raises(SourceError) as refused:
        match_columns(schema(amount=field), [SourceColumn("amount", column)])
    assert refused.value.code == "type-mismatch"
    assert "'amount'" in refused.value.message
    assert f"expects {field}" in refused.value.message


def test_a_timestamp_without_zone_comes_with_advice() -> None:
    """The message says what to write in the query."""
    with pytest.raises(SourceError, match="AT TIME ZONE"):
        match_columns(schema(at="timestamp"), [SourceColumn("at", "timestamp")])


def test_enums_are_text() -> None:
    """A column of a type that the source declares as an enumeration is text."""
    assert match_columns(schema(a="text"), [SourceColumn("a", "mood", is_enum=True)])[0].duckdb_type == "VARCHAR"


def test_columns_are_matched_by_name() -> None:
    """The schema's order counts; more columns are ignored; a missing and a repeated one are named."""
    columns = [SourceColumn("z", "bytea"), SourceColumn("b", "text"), SourceColumn("a", "text")]
    assert [r.field.name for r in match_columns(schema(a="text", b="text"), columns)] == ["a", "b"]
    with pytest.raises(SourceError, match="no column 'c'"):
        match_columns(schema(a="text", c="text"), columns)
    with pytest.raises(SourceError, match="'a' more than once"):
        match_columns(schema(a="text"), [*columns, SourceColumn("a", "text")])
