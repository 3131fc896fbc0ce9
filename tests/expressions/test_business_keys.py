"""A record's business key: the source text of its fields, joined so that different records differ."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.vocabulary.schemas import SchemaField, SchemaSpec
from libs.expressions import (
    business_key,
)
from tests.expressions.conftest import SCHEMA
from tests.expressions.test_fuzz import FUZZ


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
