"""A pattern is refused at its own character with what belongs there, and looking at patterns is cheap."""

import random

import pytest

from libs.expressions import ExpressionError, typecheck
from libs.expressions.patterns import MOST, PatternError, Patterns
from libs.expressions.patterns.reading import Reader
from libs.expressions.sql import SqlError, inspect
from tests.expressions.conftest import SCOPE
from tests.frugal import frugally

BESIDE = "a condition of its own beside this one, joined by and"
BACK = "the repeated part written out, or two values compared"

FLAWS: list[tuple[str, int, str, str, str | None]] = [
    ("A(B", 1, "`(` is not closed", r"`)`, or `\(` for the character itself", None),
    ("((A)", 0, "`(` is not closed", r"`)`, or `\(` for the character itself", None),
    ("A)B", 1, "`)` closes nothing", r"`(` before it, or `\)` for the character itself", None),
    ("A[B", 1, "`[` is not closed", r"`]`, or `\[` for the character itself", None),
    ("*A", 0, "`*` repeats nothing", r"something before it, or `\*` for the character itself", None),
    ("A|+", 2, "`+` repeats nothing", r"something before it, or `\+` for the character itself", None),
    ("(?i){3}", 4, "`{3}` repeats nothing", r"something before it, or `\{3}` for the character itself", None),
    ("A**", 1, "`**` repeats a repetition", "one of them, or (?: ) around what is repeated", None),
    ("A++", 1, "`++` keeps what it took, which RE2 does not do", "`+`", "+"),
    ("A{3,1}", 1, "the repetition {3,1} ends before it begins", "{1,3}", "{1,3}"),
    ("A{1001}", 1, "{1001} repeats more than 1000 times", "at most 1000; longer texts by their length", None),
    ("(A{500}){3}", 8, "repetitions within each other come to more than 1000 times", "at most 1000 in all", None),
    ("A(?=B)", 1, "`(?=` looks ahead, which RE2 does not do", BESIDE, None),
    ("A(?!B)", 1, "`(?!` looks ahead, which RE2 does not do", f"{BESIDE} not", None),
    ("(?<=A)B", 0, "`(?<=` looks behind, which RE2 does not do", BESIDE, None),
    ("(?<!A)B", 0, "`(?<!` looks behind, which RE2 does not do", f"{BESIDE} not", None),
    ("(?>A)", 0, "`(?>` is an atomic group, which RE2 does not have", "( ) or (?: )", "(?:"),
    ("(?<n>A)", 0, "`(?<` names a group in another way", "(?P<name>...), or ( ) alone", "(?P<"),
    ("(?P<n", 0, "the group's name has no end", "(?P<name>...)", None),
    ("(?P=n)", 0, "`(?P=` refers back to a group, which RE2 does not do", BACK, None),
    ("(?z)", 0, "`(?z` begins no group that RE2 has", r"(?:...), (?i), or `\(` for the character", None),
    (r"(A)\1", 3, r"`\1` refers back to a group, which RE2 does not do", BACK, None),
    (r"\k<n>", 0, r"`\k` refers back to a group, which RE2 does not do", BACK, None),
    (r"A\Z", 1, r"`\Z` means nothing in RE2", r"\z, or $, for the end of the text", r"\z"),
    (r"\u0041", 0, r"`\u` means nothing in RE2", r"\x{...} for a character by its number", r"\x{"),
    (r"A\q", 1, r"`\q` means nothing in RE2", "q alone; a backslash stands before signs", "q"),
    (r"\x4", 0, r"`\x` is followed by no character's number", r"two digits as in \x41, or \x{20AC}", None),
    ("A\\", 1, "the pattern ends with a backslash", r"`\\` for the character itself", None),
    ("[Z-A]", 1, "the range Z-A ends before it begins", r"A-Z, or `\-` for the hyphen itself", "A-Z"),
    (r"[A-\d]", 3, "a range ends with one character, not with a class", r"one character, or `\-` for the hyphen itself", None),
    ("[[:aplha:]]", 1, "there is no class [:aplha:]", "alnum, alpha, ascii", "[:alpha:]"),
    (r"A\p{Letter}", 1, r"there is no class \p{Letter}", r"a category or a script, such as \p{L}", r"\p{L}"),
    (r"[\p{Latn}]", 1, r"there is no class \p{Latn}", r"a category or a script, such as \p{L}", r"\p{Latin}"),
    (r"(\pX", 1, r"there is no class \pX", r"a category or a script, such as \p{L}", None),
]  # fmt: skip


@pytest.mark.parametrize(("pattern", "at", "message", "expected", "nearest"), FLAWS)
def test_a_pattern_is_refused_at_its_own_character(
    pattern: str, at: int, message: str, expected: str, nearest: str | None
) -> None:
    """What is wrong, at which character of the pattern, what belongs there, the nearest form that RE2 has."""
    with pytest.raises(PatternError) as caught:
        Patterns().check(pattern)
    error = caught.value
    assert (error.message, error.at, error.nearest) == (message, at, nearest)
    assert error.expected == expected or error.expected.startswith(f"{expected},"), error.expected


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("matches(code, 'AB(C')", 1, 18),
        ("matches(code, r'\\d{2}(C')", 1, 22),
        ("matches(code, '\\\\d\\t\\x41\\u0041é(C')", 1, 32),
        ("code == 'é' and\n  matches(code,\n '\\d(')", 3, 5),
        ("matches(code, '''A\n\nB(C''')", 3, 2),
        ("matches(code, 'AB\\\\')", 1, 18),
        ('matches(code, "it\'s (")', 1, 21),
        ("matches(code, 'it\\'s (')", 1, 22),
    ],
)
def test_the_place_counts_escapes_and_quotes(text: str, line: int, column: int) -> None:
    """The place is that of the text as its author wrote it."""
    with pytest.raises(ExpressionError) as caught:
        typecheck(text, SCOPE)
    assert (caught.value.line, caught.value.column) == (line, column)
    with pytest.raises(ExpressionError) as alone:
        typecheck("matches(code, '\\\\d{3}', 'A(')", SCOPE)
    assert "got 3 arguments" in alone.value.message


QUERY = "SELECT _ordinal FROM records WHERE "
TABLES = {"records": {"_ordinal": "BIGINT", "code": "VARCHAR", "n": "BIGINT"}}


@pytest.mark.parametrize(
    ("condition", "line", "column", "message"),
    [
        ("code SIMILAR TO 'é''(a'", 1, 56, "`(` is not closed"),
        ("code ~ 'é[a'", 1, 45, "`[` is not closed"),
        ("regexp_matches(code, 'a\n(b')", 2, 1, "`(` is not closed"),
        ("regexp_matches(code, 'a'''\n  '''(b')", 2, 6, "`(` is not closed"),
        ("regexp_extract(code, '(?=a)b') = 'b'", 1, 58, "`(?=` looks ahead, which RE2 does not do"),
        ("regexp_replace(code, 'a*+', '') = 'b'", 1, 59, "`*+` keeps what it took, which RE2 does not do"),
        ("regexp_full_match(code, '\\pX')", 1, 61, "there is no class \\pX"),
        (
            "regexp_full_match(code, 'é''b')\n and n AND regexp_replace(n, 'a', 'b') = 'a'",
            2,
            12,
            "regexp_replace does not take",
        ),
    ],
)
def test_a_querys_pattern_is_refused_at_its_own_character(condition: str, line: int, column: int, message: str) -> None:
    """As in an expression; what the binder refuses beside a pattern keeps its place too."""
    with pytest.raises(SqlError) as caught:
        inspect(QUERY + condition, TABLES)
    assert (caught.value.line, caught.value.column) == (line, column)
    assert caught.value.message.startswith(message)


def test_a_query_keeps_its_patterns() -> None:
    """The binder does not see the patterns, what runs has them."""
    found = inspect(f"{QUERY}regexp_matches(code, 'a''(b|c)'\n 'd') AND code SIMILAR TO '[A-Z]+'", TABLES)
    assert "'a''(b|c)d'" in found.sql
    assert "'[A-Z]+'" in found.sql
    assert found.columns == {"_ordinal": "BIGINT"}


PARTS = (
    "a", "b", "é", "(", ")", "[", "]", "[^", "*", "+", "?", "{2}", "{3,1}", "{1001}", "{10,}", "{40}", "|", "\\", "-", "^", "$", ".", "(?:", "(?i)",
    "(?=", "(?P<n>", "(?-s:", "\\d", "\\W", "\\p{L}", "\\pN", "\\p{^Lu}", "\\x4", "\\x{41}", "\\1", "\\12", "\\07", "\\Q", "\\E", "[:alpha:]", "[:",
    ":]", "{", "}", "0", ",", "\\z", "\\b", "\\_", "\\C", "\n", "<", "!", "P", "i", ":",
)  # fmt: skip


def test_the_reader_finds_a_flaw_where_the_engine_does() -> None:
    """Of thousands of random patterns both refuse the same ones, so that a refusal has a place of its own."""
    chosen = random.Random(20_250_310)  # noqa: S311 - reproducible, not secret
    patterns = Patterns(10**12)
    refused = 0
    for _ in range(4000):
        text = "".join(chosen.choice(PARTS) for _ in range(chosen.randint(1, 9)))
        problem = None
        try:
            patterns.check(text)
        except PatternError as error:
            problem = error
        if problem is None or not problem.message.startswith("there is no class \\"):
            assert (Reader(text).flaw is None) == (problem is None), (text, problem)
        assert problem is None or not problem.message.startswith("the pattern is not valid"), text
        refused += problem is not None
    assert 1000 < refused < 3900


HOSTILE = {
    "classes": r"\pL{1,%d00}", "opposites": r"(\PN){1,%d99}", "folded": r"(?i)[\pL\pN]{%d,90}", "nested": "((a{1,50}){1,19}){0,1}%d",
    "empty": "(a?){9%d}", "anything": ".{1,99%d}", "alternatives": "(a|b|c|d|e|f|g|h|%d){1,999}", "many": r"\PN" * 80 + "%d",
    "within": "(.{1,30}){1,3%d}", "counted": "|".join(f"a{{{n}}}" for n in range(960, 999)) + "%d",
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_twenty_hostile_patterns_cost_little(name: str) -> None:
    """All patterns of a text share what they may cost, and it is small, in an expression and in a query (S27)."""
    patterns = [HOSTILE[name] % number for number in range(10, 20)]
    patterns += [HOSTILE[name] % number for number in range(1, 10)]
    expressed = " and ".join(f"matches(code, r'{pattern}')" for pattern in patterns)
    for function in ("regexp_full_match(code, '{}')", "regexp_matches(code, '{}')", "regexp_extract(code, '{}') = 'x'"):
        queried = QUERY + " AND ".join(function.format(pattern) for pattern in patterns)
        for text in (queried, f"{queried} AND n = 'x' AND lower(n) = 1"):
            frugally(_inspected, text[:8000])
    frugally(_checked, expressed[:4000].rpartition(" and ")[0])


def _checked(text: str) -> None:
    try:
        typecheck(text, SCOPE)
    except ExpressionError as error:
        assert error.expected, error  # noqa: PT017 - the bound is what is tested


def _inspected(text: str) -> None:
    try:
        inspect(text, TABLES)
    except SqlError as error:
        assert error.message  # noqa: PT017


def test_patterns_share_what_they_may_come_to() -> None:
    """One large pattern is taken, a second one is refused where its largest repetition stands; one again is free."""
    patterns = Patterns()
    patterns.check(r"[\p{L}\p{N} ]{1,35}")
    patterns.check(r"[\p{L}\p{N} ]{1,35}")
    with pytest.raises(PatternError, match="too large") as caught:
        patterns.check(r"A{3}[\p{L}\p{N} ]{1,35}")
    assert caught.value.at == len(r"A{3}[\p{L}\p{N} ]")
    assert MOST < 10**5
