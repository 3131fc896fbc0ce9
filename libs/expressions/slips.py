"""What people write who come from another language, and how this one writes it."""

import keyword
import re
from collections.abc import Iterator
from dataclasses import dataclass

from libs.expressions.errors import ExpressionError

_TOKEN = re.compile(
    r"""(?P<text>[a-zA-Z]{0,2}(?:'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"))|(?P<note>\#[^\n]*)|(?P<day>\d{4}-\d\d-\d\d(?!\w))"""
    r"""|(?P<number>\d[\w.]*)|(?P<word>[^\W\d]\w*)"""
    r"""|(?P<sign><>|&&|\|\||===?|!==?|<=|>=|=>|=<|=~|::|/\*|[^\S\ \t\n]|[^\s\w])"""
)
_OWN = frozenset({"and", "or", "not", "in", "is", "if", "else"})
_VALUES = frozenset({"True", "False", "None"})
CHOICE = "a if condition else b"
PATTERN = "matches(text, pattern)"
CONVERSIONS = "to_text, to_integer, to_decimal, to_date or to_timestamp"
_CALLED = {
    "cast": CONVERSIONS, "convert": CONVERSIONS, "try_cast": CONVERSIONS,
    "extract": "year(date), month(date) or day(date)",
}  # fmt: skip
"""What is called with words between its arguments elsewhere."""
_NULLS = frozenset({"null", "none"})
_BETWEEN = "an operator between them, such as and, == or +"
_SIGNS = {
    "=": "==", "<>": "!=", "&&": "and", "||": "or, or + to join texts", "!": "not", "?": CHOICE, ";": "one expression",
    "===": "==", "!==": "!=", "=>": ">=", "=<": "<=", "=~": PATTERN, "::": CONVERSIONS, ":": "a field's name alone", "/*": "# for a note",
    **dict.fromkeys("€£¥", "a number alone"),
    "≥": ">=", "≤": "<=", "≠": "!=", "\u2212": "-", "\u2013": "-", "\u00d7": "*", "÷": "/", "\u00a0": "a plain space", "`": "a field's name alone",
    "$": "a field's name alone", "@": "a field's name alone", **dict.fromkeys("\u201c\u201d\u201e\u2018\u2019\u201a\u00ab\u00bb", "plain quotes, ' or \""),
}  # fmt: skip
_WORDS = {
    "like": "matches(text, pattern), starts_with, ends_with or contains", "ilike": "matches(text, '(?i)pattern')",
    **dict.fromkeys(("rlike", "regexp", "matches", "similar"), PATTERN),
    **dict.fromkeys(("contains", "includes"), "contains(text, part)"),
    **dict.fromkeys(("startswith", "starts_with", "starts", "begins"), "starts_with(text, part)"),
    **dict.fromkeys(("endswith", "ends_with", "ends"), "ends_with(text, part)"),
    "select": "a condition on one record; a query is a check of the kind sql", "where": "the condition alone",
    "between": "between(value, low, high), or low <= value <= high", "case": CHOICE, "when": CHOICE, "then": CHOICE,
}  # fmt: skip
_CLOSING = frozenset({")", "]"})

ELSEWHERE = {
    **dict.fromkeys(("len", "size", "strlen", "char_length", "character_length"), "length"),
    **dict.fromkeys(("ifnull", "nvl"), "coalesce"),
    **dict.fromkeys(("now", "current_timestamp", "getdate", "sysdate"), "as_of"),
    **dict.fromkeys(("today", "current_date", "curdate"), "business_date"),
    **dict.fromkeys(("substr", "mid", "slice"), "substring"),
    **dict.fromkeys(("regex", "regexp", "rlike", "match", "regexp_matches", "regexp_like", "like"), "matches"),
    **dict.fromkeys(("datediff", "date_diff"), "days_between"),
    **dict.fromkeys(("dateadd", "date_add"), "add_days"),
    **dict.fromkeys(("int", "integer"), "to_integer"),
    **dict.fromkeys(("float", "double", "decimal", "number", "to_number"), "to_decimal"),
    **dict.fromkeys(("str", "string", "text", "to_string", "to_char"), "to_text"),
    **dict.fromkeys(("min", "least"), "min_of"),
    **dict.fromkeys(("max", "greatest"), "max_of"),
    **dict.fromkeys(("strip", "ltrim", "rtrim"), "trim"),
    **dict.fromkeys(("vlookup", "hlookup", "xlookup", "index", "dlookup", "map"), "lookup"),
    **dict.fromkeys(("in_list", "exists"), "has"), **dict.fromkeys(("iferror", "ifna", "nz", "zeroifnull"), "coalesce"),
    **dict.fromkeys(("startswith", "starts"), "starts_with"), **dict.fromkeys(("endswith", "ends"), "ends_with"),
    **dict.fromkeys(("instr", "charindex", "position", "find", "search", "includes"), "contains"),
    "concatenate": "concat", "adddays": "add_days", "edate": "add_months",
    "ceiling": "ceil", "ucase": "upper", "lcase": "lower", "upcase": "upper", "downcase": "lower",
}  # fmt: skip
"""Names of functions in other languages: what has their meaning here."""

WRITTEN_OTHERWISE = {
    **dict.fromkeys(("isnull", "is_null", "isblank", "is_blank", "isempty", "is_empty"), "value is null"),
    **dict.fromkeys(("if", "iif", "case", "switch", "decode", "nullif"), CHOICE),
    **dict.fromkeys(("sum", "count", "avg", "mean", "median", "any", "all"), "a measure of an aggregate rule"),
    **dict.fromkeys(("cast", "convert", "try_cast"), CONVERSIONS), "and": "a and b", "or": "a or b", "xor": "a != b",
    **dict.fromkeys(("date_trunc", "trunc_date", "extract", "datepart", "date_part"), "year(date), month(date) or day(date)"),
    "pow": "value * value", "power": "value * value", "mod": "a % b", "not": "not condition",
}  # fmt: skip
"""Names of functions in other languages for what is no function here."""

VALUES_ELSEWHERE = {
    **dict.fromkeys(("none", "nil", "undefined", "missing", "blank", "empty", "na", "nan"), "null"),
    **dict.fromkeys(("today", "current_date", "curdate"), "business_date"),
    **dict.fromkeys(("now", "sysdate", "current_timestamp", "getdate"), "as_of"),
}  # fmt: skip
"""Names of values in other languages: what has their meaning here."""


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    start: int


def slip(text: str) -> ExpressionError | None:
    """Return the error of the first thing in an unreadable text that is written otherwise here, or None."""
    before: _Token | None = None
    tokens = list(_tokens(text))
    for number, token in enumerate(tokens):
        after = tokens[number + 1] if number + 1 < len(tokens) else None
        said = _slip(before, token, after)
        if said is not None:
            return _at(text, token.start, *said)
        before = token
    return None


def unbalanced(text: str) -> ExpressionError | None:
    """Return the error of a parenthesis without its counterpart, or of a comma outside all of them."""
    opened: list[_Token] = []
    words: list[str] = []
    for token in _tokens(text):
        words += [token.text] if token.text in ("in", "and", "or") and not opened else []
        if token.kind == "sign" and token.text in ("(", "["):
            opened.append(token)
        elif token.kind == "sign" and token.text in _CLOSING:
            if not opened:
                return _at(text, token.start, "a parenthesis closes before it opens", "balanced parentheses")
            opened.pop()
        elif token.text == "," and not opened:
            return _at(text, token.start, "a comma stands between two values", _without_comma(text, token.start, words))
    if opened:
        return _at(text, opened[-1].start, f"`{opened[-1].text}` is never closed", "balanced parentheses")
    return None


def _without_comma(text: str, at: int, words: list[str]) -> str:
    if words[-1:] == ["in"]:
        return "a list in [ ]"
    if text[at - 1 : at].isdigit() and text[at + 1 : at + 2].isdigit():
        return "one value; a number has no commas"
    return "one value; `and` or `or` between conditions"


def _tokens(text: str) -> Iterator[_Token]:
    for found in _TOKEN.finditer(text):
        if found.lastgroup != "note":
            yield _Token(str(found.lastgroup), found[0], found.start())


def _slip(before: _Token | None, token: _Token, after: _Token | None) -> tuple[str, str] | None:
    if token.kind == "sign":
        return _sign(before, token, after)
    if token.kind == "day":
        return f"{token.text} is a calculation here", f"date('{token.text}')"
    if token.kind == "number" and token.text.count(".") > 1:
        return f"{token.text} is no number", "a number with one point, date('2025-01-31') or between(value, low, high)"
    if token.kind == "number" and re.fullmatch(r"0[0-9_]*[1-9][0-9_]*", token.text):
        return (
            f"{token.text} begins with a zero",
            "a number without leading zeros, date('2025-01-31'), or text in quotes",
        )
    return (_word(before, token, after) if token.kind == "word" else None) or _neighbours(before, token)


def _sign(before: _Token | None, token: _Token, after: _Token | None) -> tuple[str, str] | None:
    sides = {side.text.lower() for side in (before, after) if side is not None}
    if token.text in ("=", "<>") and sides & _NULLS:
        return f"`{token.text}` does not find null", "is null" if token.text == "=" else "is not null"
    if token.text == "~" and before is not None and _ends(before):
        return "`~` is not part of the language", PATTERN
    if token.text in "/*" and before is not None and before.text in ("(", ","):
        wanted = "a pattern in quotes, as in '[A-Z]+'" if token.text == "/" else "a measure of an aggregate rule"
        return f"`{token.text}` stands for no value", wanted
    wanted = _SIGNS.get(token.text, "")
    return (f"`{token.text}` is not part of the language", wanted) if wanted else None


def _word(before: _Token | None, token: _Token, after: _Token | None) -> tuple[str, str] | None:
    lower, following = token.text.lower(), after.text.lower() if after else ""
    if lower == "not" and following in _WORDS:
        return f"`{token.text} {after.text if after else ''}` is not part of the language", f"not {_WORDS[following]}"
    if lower == "select" and before is None:
        return f"`{token.text}` is not part of the language", _WORDS[lower]
    if lower == "if" and not (before and _ends(before)):
        return f"`{token.text}` stands before its value", CHOICE
    if lower in _OWN and token.text != lower:
        return f"`{token.text}` is written in lower case", lower
    if keyword.iskeyword(token.text) and token.text not in _OWN | _VALUES:
        return f"`{token.text}` is a word of the language", f"field('{token.text}') for a field of that name"
    known = _WORDS.get(lower) if after is not None and _begins(after) else None
    known = _CALLED.get(lower, known) if following == "(" else known
    return (f"`{token.text}` is not part of the language", known) if known else None


def _neighbours(before: _Token | None, token: _Token) -> tuple[str, str] | None:
    if before is None or not _ends(before) or not _begins(token):
        return None
    wanted = _BETWEEN
    if before.text.lower() in ("date", "timestamp") and token.kind == "text":
        wanted = f"{before.text.lower()}({token.text[:80]})"
    elif before.kind == token.kind == "number":
        wanted = "a number without blanks"
    return f"`{token.text[:80]}` stands right after a value", wanted


def _ends(token: _Token) -> bool:
    """Say whether a value can end here."""
    return token.text in _CLOSING if token.kind == "sign" else token.text not in _OWN


def _begins(token: _Token) -> bool:
    """Say whether a value begins here."""
    return token.kind != "sign" and token.text not in _OWN


def _at(text: str, start: int, message: str, expected: str) -> ExpressionError:
    line, column = text.count("\n", 0, start) + 1, start - text.rfind("\n", 0, start)
    return ExpressionError(message, line=line, column=column, expected=expected)
