"""Literals and identifiers in SQL: what is quoted reads back as it was, whatever it holds."""

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.expressions import (
    quote_identifier,
    quote_literal,
)
from tests.expressions.test_fuzz import FUZZ


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
