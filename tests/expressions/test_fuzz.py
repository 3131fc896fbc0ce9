"""Random texts, random well-typed expressions: the compiler's two promises, and agreement with the slow interpreter."""

import contextlib
from decimal import Decimal
from fractions import Fraction
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libs.expressions import ExpressionError, compile_expression, joins
from libs.expressions.functions import FUNCTIONS
from tests.expressions.conftest import MOMENT, RECORD, SCHEMA, SCOPE, insert
from tests.expressions.reference import Cell, Interpreter

FUZZ = settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
WORDS = [
    *FUNCTIONS, *[field.name for field in SCHEMA.fields], "and", "or", "not", "in", "is", "None", "null", "true", "if", "else", "lambda", "for",
    "business_date", "as_of", "==", "!=", "<", "<=", "+", "-", "*", "/", "//", "%", "**", "(", ")", "[", "]", ",", ".", ":", ":=", "{", "}", "'a'",
    "'cp'", "'lei'", "'2025-01-01'", "1", "2.5", "1e9", "99999999999999999999", "\n", "#", "'", '"', "\\", "f'", "b'", "\x00", "\ud800", "é", "0x", "_",
]  # fmt: skip


@FUZZ
@given(
    st.text(max_size=200)
    | st.lists(st.sampled_from(WORDS), max_size=40).map(" ".join)
    | st.lists(st.sampled_from(WORDS), max_size=40).map("".join)
)
def test_any_text_compiles_or_is_refused(text: str) -> None:
    """No text whatever makes the compiler raise anything but ExpressionError."""
    with contextlib.suppress(ExpressionError):
        compile_expression(text, SCOPE, MOMENT)


# --- well-typed expressions ------------------------------------------------------------------------------------------

NUMBERS = (
    st.sampled_from(["quantity", "lots", "price", "amount"])
    | st.decimals(-1000, 1000, places=3).map(str)
    | st.integers(-20, 20).map(str)
)
BIG = st.sampled_from(
    ["9223372036854775807", "123456789012345678.1234567891", "0.00000000000000000001", "1" + "0" * 37]
)
FLAGS = st.sampled_from(["active", "closed", "true", "false", "null"])


def numbers(inner: st.SearchStrategy[str], flags: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pairs = st.tuples(inner, st.sampled_from(["+", "-", "*", "/", "//", "%"]), inner).map(
        lambda part: f"({part[0]} {part[1]} {part[2]})"
    )
    calls = st.tuples(st.sampled_from(["abs", "floor", "ceil", "round", "round_half_up"]), inner).map(
        lambda part: f"{part[0]}({part[1]})"
    )
    places = st.tuples(st.sampled_from(["round", "round_half_up"]), inner, st.integers(0, 6)).map(
        lambda part: f"{part[0]}({part[1]}, {part[2]})"
    )
    several = st.tuples(st.sampled_from(["min_of", "max_of", "coalesce"]), st.lists(inner, min_size=2, max_size=3)).map(
        lambda part: f"{part[0]}({', '.join(part[1])})"
    )
    choice = st.tuples(inner, flags, inner).map(lambda part: f"({part[0]} if {part[1]} else {part[2]})")
    return pairs | calls | places | several | choice | inner.map(lambda part: f"(-{part})")


def conditions(inner: st.SearchStrategy[str], flags: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    sign = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])
    pairs = st.tuples(inner, sign, inner).map(lambda part: f"({' '.join(part)})")
    chains = st.tuples(inner, sign, inner, sign, inner).map(lambda part: f"({' '.join(part)})")
    listed = st.tuples(inner, st.sampled_from(["in", "not in"]), st.integers(-9, 9), st.decimals(-9, 9, places=2)).map(
        lambda part: f"({part[0]} {part[1]} [{part[2]}, {part[3]}])"
    )
    joined = st.tuples(flags, st.sampled_from(["and", "or"]), flags).map(lambda part: f"({' '.join(part)})")
    nulls = inner.map(lambda part: f"({part} is None)") | inner.map(lambda part: f"({part} is not None)")
    between = st.tuples(inner, inner, inner).map(lambda part: f"between({', '.join(part)})")
    return pairs | chains | listed | joined | nulls | between | flags.map(lambda part: f"(not {part})")


def grammar(leaves: st.SearchStrategy[str], depth: int) -> tuple[st.SearchStrategy[str], st.SearchStrategy[str]]:
    """Return numbers and conditions that are `depth` operators deep along at least one path."""
    values, flags = leaves, FLAGS
    for _ in range(depth):
        values, flags = numbers(leaves | values, FLAGS | flags), conditions(leaves | values, FLAGS | flags)
    return values, flags


PLAIN = grammar(NUMBERS, 3)
EXTREME = grammar(NUMBERS | BIG, 4)
RECORDS = st.fixed_dictionaries(
    {
        "quantity": st.none() | st.integers(-1000, 1000),
        "lots": st.none() | st.integers(-3, 3),
        "price": st.none() | st.decimals(-1000, 1000, places=4),
        "amount": st.none() | st.decimals(-1000, 1000, places=6),
        "active": st.none() | st.booleans(),
        "closed": st.none() | st.booleans(),
    }
)
WILD = st.fixed_dictionaries(
    {
        "quantity": st.none() | st.integers(-(2**63), 2**63 - 1),
        "lots": st.none() | st.integers(-1, 1),
        "price": st.none() | st.integers(-(10**18) + 1, 10**18 - 1).map(lambda value: Decimal(value).scaleb(-4)),
        "amount": st.none() | st.integers(-(10**28) + 1, 10**28 - 1).map(lambda value: Decimal(value).scaleb(-10)),
        "active": st.none() | st.booleans(),
        "closed": st.none() | st.booleans(),
    }
)


def run(engine: duckdb.DuckDBPyConnection, text: str, record: dict[str, Any]) -> Cell:
    insert(engine, RECORD | {name: None if value is None else str(value) for name, value in record.items()})
    compiled = compile_expression(text, SCOPE, MOMENT)
    row = engine.execute(f'SELECT {compiled.sql} FROM record AS "t" {joins([compiled])}').fetchone()
    assert row is not None
    value = row[0]
    return value if value is None or isinstance(value, bool) else Fraction(value)


def cells(record: dict[str, Any]) -> dict[str, Cell]:
    exact: dict[str, Cell] = {
        name: value if value is None or isinstance(value, bool) else Fraction(value) for name, value in record.items()
    }
    return exact | {"true": True, "false": False, "null": None}


def check_against_interpreter(engine: duckdb.DuckDBPyConnection, text: str, record: dict[str, Any]) -> None:
    try:
        actual = run(engine, text, record)
    except ExpressionError as error:
        assert "decimal places" in error.message or "digits" in error.message  # noqa: PT017 - other refusals are failures
        return
    expected = Interpreter(cells(record)).run(text)
    if actual is None and expected is not None:
        assert _may_need_more_digits(text)
        return
    assert actual == expected


@FUZZ
@given(st.one_of(*PLAIN), RECORDS)
def test_agrees_with_the_slow_interpreter(engine: duckdb.DuckDBPyConnection, text: str, record: dict[str, Any]) -> None:
    """Arithmetic, comparison and logic give what Python's own fractions give, wherever 38 digits suffice."""
    check_against_interpreter(engine, text, record)


@pytest.mark.long
@settings(FUZZ, max_examples=5000)
@given(st.one_of(*PLAIN), RECORDS)
def test_agrees_on_many(engine: duckdb.DuckDBPyConnection, text: str, record: dict[str, Any]) -> None:
    """The same, fifty times as often."""
    check_against_interpreter(engine, text, record)


def _may_need_more_digits(text: str) -> bool:
    return text.count("*") + text.count("/") + text.count("%") > 0


@FUZZ
@given(st.one_of(*EXTREME), WILD)
def test_compiled_sql_never_fails(engine: duckdb.DuckDBPyConnection, text: str, record: dict[str, Any]) -> None:
    """What compiles binds and runs on any record, extremes included: no overflow, no division by zero aborts it."""
    with contextlib.suppress(ExpressionError):
        run(engine, text, record)
