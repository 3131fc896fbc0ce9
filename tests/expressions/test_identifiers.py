"""Identifier checks against python-stdnum, on generated values and their mutations."""

import re
import string
from collections.abc import Callable
from importlib.resources import files

import duckdb
import pytest
import stdnum.isin
import stdnum.lei
from hypothesis import given
from hypothesis import strategies as st
from iso10383 import MIC, Status
from stdnum.iso7064 import mod_97_10

from libs.expressions import compile_expression
from libs.expressions.codes import codes
from libs.expressions.functions.identifiers import _IBAN_LENGTHS
from tests.expressions.conftest import MOMENT, SCOPE
from tests.expressions.test_fuzz import FUZZ

Evaluate = Callable[..., str | None]
ALPHANUMERIC = string.ascii_uppercase + string.digits

leis = st.text(ALPHANUMERIC, min_size=18, max_size=18).map(lambda body: body + mod_97_10.calc_check_digits(body))
isins = st.tuples(st.sampled_from(["US", "DE", "GB", "XS", "FR"]), st.text(ALPHANUMERIC, min_size=9, max_size=9)).map(
    lambda part: "".join(part) + stdnum.isin.calc_check_digit("".join(part))
)
mutated = st.tuples(leis | isins, st.integers(0, 19), st.sampled_from(ALPHANUMERIC + "a é-")).map(
    lambda part: part[0][: part[1]] + part[2] + part[0][part[1] + 1 :]
)
values = st.lists(
    leis | isins | mutated | st.text(max_size=24).filter(lambda text: "\0" not in text), min_size=1, max_size=30
)


def verdicts(engine: duckdb.DuckDBPyConnection, check: str, texts: list[str]) -> list[bool | None]:
    sql = compile_expression(f"{check}(code)", SCOPE, MOMENT).sql
    rows = engine.execute(f'SELECT {sql} FROM (SELECT unnest($1::VARCHAR[]) AS code) AS "t"', [texts]).fetchall()
    return [row[0] for row in rows]


def plain(text: str) -> bool:
    return all(char in ALPHANUMERIC for char in text)


@FUZZ
@given(values)
def test_lei(engine: duckdb.DuckDBPyConnection, texts: list[str]) -> None:
    """`lei` agrees with python-stdnum on good, mutated and arbitrary texts; separators and lower case are not accepted."""
    expected = [
        plain(text)
        and len(text) == 20
        and stdnum.lei.is_valid(text)
        and text[-2:].isdigit()
        and "02" <= text[-2:] <= "98"
        for text in texts
    ]
    assert verdicts(engine, "lei", texts) == expected


@FUZZ
@given(values)
def test_isin(engine: duckdb.DuckDBPyConnection, texts: list[str]) -> None:
    """`isin` is the form and the check digit: where python-stdnum knows the country, the verdicts are equal."""
    expected = [
        plain(text) and len(text) == 12 and text[:2].isalpha() and stdnum.isin.calc_check_digit(text[:-1]) == text[-1]
        for text in texts
    ]
    assert verdicts(engine, "isin", texts) == expected
    known = [
        not stdnum.isin.is_valid(text) or verdict for text, verdict in zip(texts, expected, strict=True) if plain(text)
    ]
    assert all(known)


@FUZZ
@given(st.lists(leis, min_size=1, max_size=10), st.text(ALPHANUMERIC, min_size=1, max_size=32))
def test_uti(engine: duckdb.DuckDBPyConnection, texts: list[str], tail: str) -> None:
    """`uti` is an LEI with up to 32 capitals and digits behind it."""
    assert all(verdicts(engine, "uti", [text + tail for text in texts]))
    assert not any(verdicts(engine, "uti", [*texts, *[text + "A" * 33 for text in texts]]))


IBANS = [
    "GB82WEST12345698765432",
    "DE89370400440532013000",
    "FR1420041010050500013M02606",
    "NO9386011117947",
    "MT84MALT011000012345MTLCAST001S",
]


@pytest.mark.parametrize("text", IBANS)
def test_iban(engine: duckdb.DuckDBPyConnection, text: str) -> None:
    """The registry's examples pass; with a character changed, gone, added or of the other case they do not."""
    changed = [text[:place] + ("1" if text[place] != "1" else "2") + text[place + 1 :] for place in range(len(text))]
    wrong = [*changed, text[:-1], text + "0", text.lower(), f"{text[:4]} {text[4:]}", "ZZ" + text[2:]]
    assert verdicts(engine, "iban", [text, *wrong]) == [True] + [False] * len(wrong)


def test_iban_lengths_are_the_registrys() -> None:
    """The countries and their lengths are those that python-stdnum has from the registry, no others."""
    ours = {country: length for length, group in _IBAN_LENGTHS.items() for country in group.split()}
    entries = [line for line in files("stdnum").joinpath("iban.dat").read_text().splitlines() if line[:2].isalpha()]
    bodies = {line[:2]: re.findall(r"(\d+)!", line.partition('bban="')[2]) for line in entries}
    theirs = {country: 4 + sum(map(int, parts)) for country, parts in bodies.items()}
    assert ours == theirs


@pytest.mark.parametrize("digits", ["00", "01", "99"])
def test_lei_check_digits_out_of_range(evaluate: Evaluate, digits: str) -> None:
    """Check digits that the calculation never gives are refused even where the remainder is right."""
    stems = ("".join(str((index // 10**place) % 10) for place in range(18)) for index in range(10_000))
    stem = next(stem for stem in stems if int(stem + digits) % 97 == 1)
    assert evaluate(f"lei('{stem}{digits}')") == "false"


CASES = [
    ("mic", "XLON", "true"),
    ("mic", "XOFF", "true"),
    ("mic", "XXXX", "true"),
    ("mic", "xlon", "false"),
    ("mic", "XLON ", "false"),
    ("mic", "ABCD", "false"),
    ("mic", "XLON|XOFF", "false"),
    ("currency", "EUR", "true"),
    ("currency", "GBX", "false"),
    ("currency", "GBp", "false"),
    ("currency", "DEM", "false"),
    ("currency", "", "false"),
    ("country", "DE", "true"),
    ("country", "XX", "false"),
    ("country", "UK", "false"),
    ("country", "XK", "false"),
    ("cfi", "ESVUFR", "true"),
    ("cfi", "ASVUFR", "false"),
    ("cfi", "ESVUF", "false"),
    ("bic", "DEUTDEFF", "true"),
    ("bic", "DEUTDEFF500", "true"),
    ("bic", "12UTDEFF", "true"),
    ("bic", "DEUTDEFF5", "false"),
    ("bic", "DEUT11FF", "false"),
]


@pytest.mark.parametrize(("check", "value", "expected"), CASES)
def test_code(evaluate: Evaluate, check: str, value: str, expected: str) -> None:
    """Listed codes pass, all others do not: no other case, no spaces, no minor units."""
    assert evaluate(f"{check}(code)", code=value) == expected


@pytest.mark.parametrize("check", ["lei", "isin", "uti", "mic", "currency", "country", "cfi", "bic", "iban"])
def test_null_is_unknown(evaluate: Evaluate, check: str) -> None:
    """A check of null is neither true nor false."""
    assert evaluate(f"{check}(code)", code=None) is None


def test_lists_are_complete(evaluate: Evaluate) -> None:
    """All active market codes of the source list are known, no expired one is, and the lists are sorted."""
    active = {entry.value.mic for entry in MIC if entry.value.status is not Status.expired}
    assert set(codes("mic")) == active
    for name in ("mic", "currency", "country"):
        assert list(codes(name)) == sorted(set(codes(name)))
        assert all(set(code) <= set(ALPHANUMERIC) for code in codes(name))


def test_check_of_a_computed_text(evaluate: Evaluate) -> None:
    """Checks take any text, not only a field."""
    assert evaluate("lei(upper(trim(code)))", code=" cpty006k111y0odr1x49 ") == "true"
    assert evaluate("isin(upper(isin_code)) and not isin(lower(isin_code))") == "true"
