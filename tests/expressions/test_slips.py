"""What is written as in another language is refused with the way to write it here, and at its place."""

import pytest

from libs.common.vocabulary.schemas import SchemaField, SchemaSpec
from libs.expressions import ExpressionError, Scope, typecheck
from tests.expressions.conftest import SCOPE

SLIPS = [
    ("price = 1", 1, 7, "=="),
    ("code == 'é' and\n\tprice = 1", 2, 8, "=="),
    ("price <> 1", 1, 7, "!="),
    ("active && active", 1, 8, "and"),
    ("active || active", 1, 8, "or, or + to join texts"),
    ("!active", 1, 1, "not"),
    ("active ? 1 : 2", 1, 8, "a if condition else b"),
    ("price > 0;", 1, 10, "one expression"),
    ("price ≥ 1", 1, 7, ">="),
    ("code == “é”", 1, 9, "plain quotes, ' or \""),
    ("'ü' == \u2018a\u2019", 1, 8, "plain quotes, ' or \""),
    ("price\u00a0> 0", 1, 6, "a plain space"),
    ("$price > 0", 1, 1, "a field's name alone"),
    ("active AND active", 1, 8, "and"),
    ("active and NOT active", 1, 12, "not"),
    ("code IS NULL", 1, 6, "is"),
    ("code like 'A%'", 1, 6, "matches(text, pattern), starts_with, ends_with or contains"),
    ("price between 1 and 2", 1, 7, "between(value, low, high), or low <= value <= high"),
    ("case when active then 1 end", 1, 1, "a if condition else b"),
    ("if active then 1 else 2", 1, 1, "a if condition else b"),
    ("from == 'x'", 1, 1, "field('from') for a field of that name"),
    ("price > 1 price", 1, 11, "an operator between them, such as and, == or +"),
    ("quantity == 010", 1, 13, "a number without leading zeros, date('2025-01-31'), or text in quotes"),
    ("trade_date > 2025-01-01", 1, 14, "date('2025-01-01')"),
    ("price > 1,000", 1, 10, "one value; a number has no commas"),
    ("1) + (2", 1, 2, "balanced parentheses"),
    ("code == 'é')", 1, 12, "balanced parentheses"),
    ("price > 1\n  and (code == 'é'))\nand active", 2, 20, "balanced parentheses"),
    ("active and (code == 'é'", 1, 12, "balanced parentheses"),
    ("between(price,\n  1, 2", 1, 8, "balanced parentheses"),
    ("code == ('b AND c", 1, 10, "a quote that ends the text"),
    ("code == 'é' and\n code == 'b", 2, 10, "a quote that ends the text"),
    ("price > 1 if active", 1, 1, "a if condition else b"),
    ("price > 1.5e", 1, 11, "a number"),
    ("active\u2028and active", 1, 7, "a plain space"),
    ("{price} > 0", 1, 1, "a field's name alone, or a list in [ ]"),
    ("t.price > 0", 1, 1, "a field's name alone; functions stand before their values, as in upper(name)"),
    ("isnull(code)", 1, 1, "value is null"),
    ("lookup(cp, code, 'lei') == 'x'", 1, 8, "its name in quotes, as in has('cp', key)"),
    ("sum(price) > 1", 1, 1, "a measure of an aggregate rule"),
    ("matches(code, '\\bA\\b')", 1, 15, "\\\\ for a backslash, or r'...'"),
    ("matches(code, '(a)\\1')", 1, 15, "\\\\ for a backslash, or r'...'"),
]


@pytest.mark.parametrize(("text", "line", "column", "expected"), SLIPS)
def test_a_slip_is_told_with_what_to_write(text: str, line: int, column: int, expected: str) -> None:
    """The place is the slip's own, in characters, and what was expected can be written there."""
    with pytest.raises(ExpressionError) as caught:
        typecheck(text, SCOPE)
    error = caught.value
    assert (error.line, error.column, error.expected) == (line, column, expected), error
    assert ":=" not in error.message


@pytest.mark.parametrize(
    ("text", "nearest"),
    [
        ("len(code) > 1", "length"),
        ("size(code) > 1", "length"),
        ("now() > executed_at", "as_of"),
        ("today() > trade_date", "business_date"),
        ("regex(code, 'a')", "matches"),
        ("datediff(trade_date, trade_date) > 1", "days_between"),
        ("frobnicate(code)", None),
        ("PRICE > 1", "price"),
        ("code is NULL", "null"),
        ("active == TRUE", "true"),
        ("busines_date > trade_date", "business_date"),
        ("executed_at < asof", "as_of"),
    ],
)
def test_the_nearest_name_has_the_meaning(text: str, nearest: str | None) -> None:
    """Case does not matter, the language's own words count, and what only shares letters is no suggestion."""
    with pytest.raises(ExpressionError) as caught:
        typecheck(text, SCOPE)
    assert caught.value.nearest == nearest


def test_slips_in_texts_and_notes_are_none() -> None:
    """What stands between quotes or after a hash is not looked at."""
    assert typecheck("code == 'a && b = c' # x <> y", SCOPE) == "boolean"
    with pytest.raises(ExpressionError) as caught:
        typecheck("code == 'a = b' and # c && d\n(price", SCOPE)
    assert "never closed" in caught.value.message
    scope = Scope(SchemaSpec(fields=(SchemaField(name="like", type="text"), SchemaField(name="when", type="integer"))))
    assert typecheck("like == 'x' and when > 1", scope) == "boolean"
