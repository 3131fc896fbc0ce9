"""The corpus of expressions that must be refused, as people and tools have tried them on other evaluators."""

from collections.abc import Callable
from pathlib import Path

import pytest

from libs.expressions import ExpressionError, typecheck
from tests.expressions.conftest import SCOPE
from tests.expressions.test_evaluation import LEGITIMATE
from tests.expressions.test_refusals import BOMBS, ESCAPES
from tests.frugal import frugally

MORE = [
    ("0 < price <= 1000000 and currency('EUR')", "true"),
    ("price > 0 or lots > 0", "true"),
    ("price < 0 or lots > 0", None),
    ("price < 0 and lots > 0", "false"),
    ("not (price < 0) and not closed", None),
    ("not closed", None),
    ("closed is null or closed", "true"),
    ("closed is not null and closed", "false"),
    ("lots is null", "true"),
    ("coalesce(lots, 0) >= 0", "true"),
    ("coalesce(lots, quantity) == quantity", "true"),
    ("abs(quantity) in [7, 8, 9]", "true"),
    ("quantity not in [1, 2, 3]", "true"),
    ("lots in [1, 2]", None),
    ("between(quantity, -10, 0)", "true"),
    ("between(lots, 0, 1)", None),
    ("between(trade_date, date('2024-01-01'), date('2024-12-31'))", "true"),
    ("between(executed_at, timestamp('2025-03-10T00:00:00Z'), as_of)", "true"),
    ("trade_date <= business_date", "true"),
    ("trade_date >= add_years(business_date, -5)", "true"),
    ("days_between(trade_date, business_date) <= 375", "true"),
    ("days_between(date(executed_at), business_date) == 0", "true"),
    ("date(executed_at) == business_date", "true"),
    ("executed_at <= as_of", "true"),
    ("year(trade_date) == 2024 and month(trade_date) == 2 and day(trade_date) == 29", "true"),
    ("add_years(trade_date, 1) == date('2025-02-28')", "true"),
    ("add_months(trade_date, 12) < business_date", "true"),
    ("add_days(business_date, 1) > trade_date", "true"),
    ("isin(isin_code)", "true"),
    ("isin(isin_code) and starts_with(isin_code, 'US')", "true"),
    ("left(isin_code, 2) in ['US', 'DE'] and country(left(isin_code, 2))", "true"),
    ("matches(isin_code, '[A-Z]{2}[A-Z0-9]{9}[0-9]')", "true"),
    ("length(isin_code) == 12", "true"),
    ("upper(isin_code) == isin_code", "true"),
    ("trim(code) == code", "true"),
    ("contains(code, ' ') and not contains(code, '  ')", "true"),
    ("substring(code, 1, 2) == 'Ab'", "true"),
    ("right(code, 1) == 'c'", "true"),
    ("replace(code, ' ', '') == 'Abc'", "true"),
    ("concat(code, '/', to_text(quantity)) == 'Ab c/-7'", "true"),
    ("to_integer('42') + quantity == 35", "true"),
    ("to_text(-0.89)", "-0.89"),
    ("to_text(price % -0.76)", "-0.1"),
    ("to_decimal('1.50') * 2 == 3", "true"),
    ("to_date('2025-02-30') is null", "true"),
    ("price * quantity == -52.5", "true"),
    ("price * 100 % 5 == 0", "true"),
    ("amount / quantity < 0", "true"),
    ("round(amount, 2) == 1234.57", "true"),
    ("round(price / 2, 1) == 3.8", "true"),
    ("amount // 100 == 12", "true"),
    ("max_of(price, 8) == 8 and min_of(price, 8) == price", "true"),
    ("price > 5 if active else price > 10", "true"),
    ("('long' if quantity > 0 else 'short') == 'short'", "true"),
    ("(1 if closed else 0) == 0", "true"),
    ("lookup('cp', 'CP1', 'country') == 'DE'", "true"),
    ("has('cp', 'CP1') and not has('cp', code)", "true"),
    ("lookup('cp', lookup('cp', 'CP1', 'lei'), 'lei') == 'deep'", "true"),
    ("coalesce(lookup('cp', code, 'lei'), 'none') == 'none'", "true"),
    ("mic('XLON') and not mic('XXXQ')", "true"),
    ("lei('HWUPKR0MPOU8FGXBT394')", "true"),
    ("uti(concat('HWUPKR0MPOU8FGXBT394', 'TRADE1'))", "true"),
    ("iban('DE89370400440532013000') and bic('DEUTDEFF')", "true"),
    ("cfi('ESVUFR')", "true"),
]
_INVISIBLE = {f"\\u{code}": chr(int(code, 16)) for code in ("2028", "2029", "feff", "200b", "202e", "00a0")}


def hostile() -> list[str]:
    """Return the texts of the corpus; what cannot be seen stands escaped in it."""
    text = (Path(__file__).parent / "hostile.txt").read_text(encoding="utf-8")
    for written, meant in _INVISIBLE.items():
        text = text.replace(written, meant)
    return text.removesuffix("\n").split("\n")


def test_every_hostile_expression_is_refused() -> None:
    """S7: each of over 700 texts is refused with a reason and a place inside of it, in under 100 ms of CPU."""
    texts = hostile()
    assert len(set(texts) | set(ESCAPES)) > 800
    typecheck("matches(code, 'x')", SCOPE)
    assert [text for text in texts if not refused_well(text)] == []


def refused_well(text: str) -> bool:
    """Say whether a text is refused at once, with a reason and a place."""
    error, lines = frugally(refusal, text), text.split("\n")
    if error is None or not error.message:
        return False
    return 1 <= error.line <= len(lines) and 1 <= error.column <= len(lines[error.line - 1]) + 2


def refusal(text: str) -> ExpressionError | None:
    """Return why a text is refused, or None."""
    try:
        typecheck(text, SCOPE)
    except ExpressionError as error:
        return error
    return None


@pytest.mark.parametrize("text", BOMBS, ids=range(len(BOMBS)))
def test_a_bomb_costs_little(text: str) -> None:
    """S18: what is too long or too deep is refused within the same budget."""
    assert refused_well(text)


@pytest.mark.parametrize(
    "text", ["\uff50rice > 1", "pric\U0001d41e > 1", "\u1d49val('1')", "u\U0001d429per(code)", "upper(\uff43ode)"]
)
def test_look_alikes_are_no_letters(text: str) -> None:
    """Python's own parser reads such letters as plain ones; here a name is what it looks like."""
    with pytest.raises(ExpressionError):
        typecheck(text, SCOPE)


def test_the_legitimate_are_many() -> None:
    """The other corpus, whose values are checked one by one, has two hundred expressions."""
    assert len({text for text, _ in (*LEGITIMATE, *MORE)}) >= 200


@pytest.mark.parametrize(("text", "expected"), MORE)
def test_what_reporting_teams_write(text: str, expected: str | None, evaluate: Callable[..., str | None]) -> None:
    """Rules as they are written every day give what they should."""
    assert evaluate(text) == expected
