from collections.abc import Callable

import pytest

Evaluate = Callable[..., str | None]

LEGITIMATE = [
    # literals and names
    ("1", "1"),
    ("-1", "-1"),
    ("+quantity", "-7"),
    ("1_000.50", "1000.5"),
    ("0.1 + 0.2", "0.3"),
    ("0.1 + 0.2 == 0.3", "true"),
    ("123456789012345678.123456789012345678 == 123456789012345678.123456789012345679", "false"),
    ("'it\\'s'", "it's"),
    ('"it\'s"', "it's"),
    ("'%s {0} \\\\ ; -- /* \"'", '%s {0} \\ ; -- /* "'),
    ("'ünï✓'", "ünï✓"),
    ("True and true", "true"),
    ("false or False", "false"),
    ("business_date", "2025-03-10"),
    ("as_of", "2025-03-11 06:00:00+00"),
    ("field('price') > 7", "true"),
    # arithmetic
    ("quantity + 1", "-6"),
    ("quantity - 1.5", "-8.5"),
    ("price * 2", "15.0000"),
    ("price * price", "56.25000000"),
    ("amount * amount == 1524157.8750190521", "true"),
    ("7 / 2", "3.5000000000"),
    ("1.1 / 3", "0.3666666667"),
    ("2 / 3", "0.6666666667"),
    ("-7 // 2", "-4"),
    ("quantity // 2", "-4"),
    ("quantity % 3", "2"),
    ("7 % -3", "-2"),
    ("7.5 // 2", "3"),
    ("-price // 2", "-4"),
    ("price % 2", "1.5000"),
    ("-price % 2", "0.5000"),
    ("quantity / 0", None),
    ("quantity // 0", None),
    ("quantity % 0", None),
    ("price / (quantity + 7)", None),
    ("9223372036854775807 + 1 > 9223372036854775807", "true"),
    ("99999999999999999999999999999999999999 + 1", None),
    ("amount < 1e30", "true"),
    ("1e30 <= amount", "false"),
    ("-1e30 < amount < 1e30", "true"),
    ("between(amount, -1e30, 1e30)", "true"),
    ("amount == 1e30", "false"),
    ("amount != 1e30", "true"),
    ("to_decimal('x') < 1e30", None),
    ("to_decimal('x') != 1e30", None),
    ("amount in [1e30, 5]", "false"),
    ("amount not in [1e30, 1.00000000001]", "true"),
    ("to_decimal('x') in [1e30]", None),
    ("quantity in [-7, 1e30]", "true"),
    ("quantity in [-7.5, -7.0]", "true"),
    ("abs(quantity)", "7"),
    ("round(2.5)", "2"),
    ("round(3.5)", "4"),
    ("round(2.345, 2)", "2.34"),
    ("round_half_up(2.5)", "3"),
    ("round_half_up(-2.5)", "-3"),
    ("round_half_up(2.345, 2)", "2.35"),
    ("round(price, 10)", "7.5000"),
    ("floor(-7.5)", "-8"),
    ("ceil(-7.5)", "-7"),
    ("-ceil(-2.0)", "2"),
    ("left('abc', -floor(-2.0))", "ab"),
    ("floor(price)", "7"),
    ("min_of(quantity, price, 3)", "-7.0000"),
    ("max_of(quantity, price, 3)", "7.5000"),
    ("max_of(quantity, lots)", None),
    ("min_of('b', code)", "Ab c"),
    ("max_of(trade_date, business_date)", "2025-03-10"),
    # comparisons
    ("0 < price <= 100", "true"),
    ("0 < price < 7", "false"),
    ("1 < 2 < 3 > 2", "true"),
    ("0 < price * amount + 1 <= 100000", "true"),
    ("quantity == -7.0", "true"),
    ("price != 7.5", "false"),
    ("lots > 0", None),
    ("code < 'b'", "true"),
    ("active == true", "true"),
    ("trade_date < business_date", "true"),
    ("executed_at <= as_of", "true"),
    ("code in ['x', 'Ab c']", "true"),
    ("code not in ('x', 'y')", "true"),
    ("quantity in [-7, 8]", "true"),
    ("price in [7.5, 8]", "true"),
    ("price in [7.50001]", "false"),
    ("trade_date in [date('2024-02-29')]", "true"),
    ("lots in [1, 2]", None),
    ("lots is None", "true"),
    ("lots is null", "true"),
    ("code is not None", "true"),
    ("code is not null", "true"),
    # conditions
    ("'buy' if quantity > 0 else 'sell'", "sell"),
    ("1 if active else 2.5", "1.0"),
    ("'x' if closed else 'y'", "y"),
    ("None if active else 5", None),
    ("coalesce(lots, quantity, 0)", "-7"),
    ("coalesce(lots, price)", "7.5000"),
    ("coalesce(None, 'x')", "x"),
    ("between(price, 7, 8)", "true"),
    ("between(code, 'A', 'B')", "true"),
    ("not (active and closed)", None),
    # text
    ("upper(code)", "AB C"),
    ("upper('ß')", "ẞ"),
    ("lower(code)", "ab c"),
    ("trim('  a b\\t\\n')", "a b"),
    ("length('é✓')", "2"),
    ("code + '-' + upper(code)", "Ab c-AB C"),
    ("substring(code, 2)", "b c"),
    ("substring(code, 2, 2)", "b "),
    ("substring(code, 0, 2)", "Ab"),
    ("substring(code, -5, 2)", "Ab"),
    ("substring(code, 2, -1)", ""),
    ("substring(code, 99999999999999999999)", ""),
    ("left(code, 2)", "Ab"),
    ("right(code, 1)", "c"),
    ("left(code, quantity)", ""),
    ("left(code, lots)", None),
    ("starts_with(code, 'Ab')", "true"),
    ("ends_with(code, 'x')", "false"),
    ("contains(code, 'b ')", "true"),
    ("replace(code, ' ', '')", "Abc"),
    ("matches(code, '[A-Z]b.c')", "true"),
    ("matches(code, 'b')", "false"),
    ("matches(code, r'\\w+\\s\\w')", "true"),
    ("concat('a', code, 'z')", "aAb cz"),
    ("concat('a', lookup('cp', code, 'lei'))", None),
    # dates
    ("date('2025-01-31')", "2025-01-31"),
    ("date(executed_at)", "2025-03-10"),
    ("timestamp('2025-01-31T10:00:00+02:00') == timestamp('2025-01-31T08:00:00Z')", "true"),
    ("year(trade_date)", "2024"),
    ("month(executed_at)", "3"),
    ("day(trade_date)", "29"),
    ("days_between(trade_date, business_date)", "375"),
    ("days_between(business_date, trade_date)", "-375"),
    ("add_days(trade_date, 1)", "2024-03-01"),
    ("add_days(trade_date, quantity)", "2024-02-22"),
    ("add_days(executed_at, 1)", "2025-03-11 23:30:00.12+00"),
    ("add_months(date('2025-01-31'), 1)", "2025-02-28"),
    ("add_years(trade_date, 1)", "2025-02-28"),
    ("add_years(trade_date, 9000)", None),
    ("add_days(trade_date, 99999999999)", None),
    ("add_years(business_date, -5) <= trade_date", "true"),
    # conversion
    ("to_text(quantity)", "-7"),
    ("to_text(price)", "7.5"),
    ("to_text(100.00)", "100"),
    ("to_text(active)", "true"),
    ("to_text(trade_date)", "2024-02-29"),
    ("to_text(executed_at)", "2025-03-10T23:30:00.12Z"),
    ("to_text(as_of)", "2025-03-11T06:00:00Z"),
    ("to_integer('-42')", "-42"),
    ("to_integer('4.2')", None),
    ("to_integer(' 4')", None),
    ("to_integer('1234567890123456789')", None),
    ("to_decimal('1.50')", "1.5000000000"),
    ("to_decimal('1,5')", None),
    ("to_decimal('1e3')", None),
    ("to_decimal('nan')", None),
    ("to_decimal('inf')", None),
    ("to_date('2025-02-28')", "2025-02-28"),
    ("to_date('2025-02-29')", None),
    ("to_date('2025-1-5')", None),
    ("to_date('infinity')", None),
    ("to_timestamp('2025-02-28T10:00:00Z')", "2025-02-28 10:00:00+00"),
    ("to_timestamp('2025-02-28T10:00:00')", None),
    ("to_timestamp('2025-02-28T25:00:00Z')", None),
    # mappings
    ("lookup('cp', 'CP1', 'lei')", "LEI1"),
    ("lookup('cp', lookup('cp', 'CP1', 'lei'), 'lei')", "deep"),
    ("lookup('cp', code, 'lei')", None),
    ("has('cp', 'CP1')", "true"),
    ("has('cp', code)", "false"),
    ("has('cp', to_text(lots))", None),
    # lay-out
    ("quantity < 0  # a note\n and price > 0", "true"),
    ("\n  quantity\n  + 1", "-6"),
]


@pytest.mark.parametrize(("text", "value"), LEGITIMATE, ids=[text for text, _ in LEGITIMATE])
def test_value(evaluate: Evaluate, text: str, value: str | None) -> None:
    """A legitimate expression has the documented value."""
    assert evaluate(text) == value


THREE = {"true": "true", "false": "false", None: "null"}
TRUTH = [(left, right) for left in THREE for right in THREE]


@pytest.mark.parametrize(("left", "right"), TRUTH)
def test_and(evaluate: Evaluate, left: str | None, right: str | None) -> None:
    """`and` is false if one side is, unknown if one side is, else true; by fields and by literals."""
    expected = "false" if "false" in (left, right) else None if None in (left, right) else "true"
    assert evaluate("active and closed", active=left, closed=right) == expected
    assert evaluate(f"{THREE[left]} and {THREE[right]}") == expected


@pytest.mark.parametrize(("left", "right"), TRUTH)
def test_or(evaluate: Evaluate, left: str | None, right: str | None) -> None:
    """`or` is true if one side is, unknown if one side is, else false; by fields and by literals."""
    expected = "true" if "true" in (left, right) else None if None in (left, right) else "false"
    assert evaluate("active or closed", active=left, closed=right) == expected
    assert evaluate(f"{THREE[left]} or {THREE[right]}") == expected


@pytest.mark.parametrize(("value", "expected"), [("true", "false"), ("false", "true"), (None, None)])
def test_not(evaluate: Evaluate, value: str | None, expected: str | None) -> None:
    """`not` leaves unknown unknown."""
    assert evaluate("not active", active=value) == expected


@pytest.mark.parametrize("text", ["quantity == lots", "quantity < lots", "lots != lots", "not lots in [1]", "lots + 1"])
def test_null_spreads(evaluate: Evaluate, text: str) -> None:
    """Comparing or calculating with null is unknown."""
    assert evaluate(text) is None


def test_too_large_is_unknown(evaluate: Evaluate) -> None:
    """A product beyond 38 digits is unknown instead of an aborted query."""
    huge = "9" * 18 + ".9999999999"
    assert evaluate("amount * amount", amount=huge) is None
    assert evaluate("amount * amount > 1", amount="12345678.5") == "true"


def test_a_value_too_large_for_the_common_type_is_chosen_all_the_same(evaluate: Evaluate) -> None:
    """What is there is chosen before it is brought to one type; that it does not fit does not make it absent."""
    text = "coalesce(quantity * quantity, amount)"
    assert evaluate(text, quantity="9000000000000000000", amount="1.5") is None
    assert evaluate(text, quantity="3", amount="1.5") == "9.0000000000"
    assert evaluate(text, quantity=None, amount="1.5") == "1.5000000000"


DEEP = [
    "abs({})",
    "(amount * {})",
    "(amount // {})",
    "(price / {})",
    "({} % amount)",
    "min_of({}, price)",
    "({} if active else price)",
    "round({}, 2)",
]


@pytest.mark.parametrize("shape", DEEP)
def test_deepest_expression_is_planned_quickly(evaluate: Evaluate, shape: str) -> None:
    """Nothing is written twice: the deepest nesting of an operator runs at once, where doubling would never end."""
    text = "price"
    for _ in range(39):
        text = shape.format(text)
    evaluate(text)
