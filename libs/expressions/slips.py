"""What people write who come from another language, and how this one writes it."""

import keyword
import re
from collections.abc import Iterator
from dataclasses import dataclass

from libs.expressions.errors import ExpressionError

_TOKEN = re.compile(
    r"""(?P<text>[a-zA-Z]{0,2}(?:'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"))|(?P<note>\#[^\n]*)|(?P<number>\d[\w.]*)"""
    r"""|(?P<word>[^\W\d]\w*)|(?P<sign><>|&&|\|\||==|!=|<=|>=|[^\S\ \t\n]|[^\s\w])"""
)
_OWN = frozenset({"and", "or", "not", "in", "is", "if", "else"})
_VALUES = frozenset({"True", "False", "None"})
CHOICE = "a if condition else b"
_SIGNS = {
    "=": "==", "<>": "!=", "&&": "and", "||": "or, or + to join texts", "!": "not", "?": CHOICE, ";": "one expression",
    "≥": ">=", "≤": "<=", "≠": "!=", "\u2212": "-", "\u2013": "-", "\u00d7": "*", "÷": "/", "\u00a0": "a plain space", "`": "a field's name alone",
    "$": "a field's name alone", "@": "a field's name alone", **dict.fromkeys("\u201c\u201d\u201e\u2018\u2019\u201a\u00ab\u00bb", "plain quotes, ' or \""),
}  # fmt: skip
_WORDS = {
    "like": "matches(text, pattern), starts_with, ends_with or contains", "ilike": "matches(text, '(?i)pattern')",
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
    **dict.fromkeys(("in_list", "vlookup"), "has"),
    "ceiling": "ceil", "ucase": "upper", "lcase": "lower", "upcase": "upper", "downcase": "lower",
}  # fmt: skip
"""Names of functions in other languages: what has their meaning here."""

WRITTEN_OTHERWISE = {
    **dict.fromkeys(("isnull", "is_null", "isblank", "is_blank", "isempty", "is_empty"), "value is null"),
    **dict.fromkeys(("if", "iif", "case", "switch", "decode", "nullif"), CHOICE),
    **dict.fromkeys(("sum", "count", "avg", "mean", "median"), "a measure of an aggregate rule"),
    "pow": "value * value", "power": "value * value", "mod": "a % b", "not": "not condition",
}  # fmt: skip
"""Names of functions in other languages for what is no function here."""


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
    for token in _tokens(text):
        if token.kind == "sign" and token.text in ("(", "["):
            opened.append(token)
        elif token.kind == "sign" and token.text in _CLOSING:
            if not opened:
                return _at(text, token.start, "a parenthesis closes before it opens", "balanced parentheses")
            opened.pop()
        elif token.text == "," and not opened:
            return _at(text, token.start, "a comma stands between two values", "one value; a number has no commas")
    if opened:
        return _at(text, opened[-1].start, f"`{opened[-1].text}` is never closed", "balanced parentheses")
    return None


def _tokens(text: str) -> Iterator[_Token]:
    for found in _TOKEN.finditer(text):
        if found.lastgroup != "note":
            yield _Token(str(found.lastgroup), found[0], found.start())


def _slip(before: _Token | None, token: _Token, after: _Token | None) -> tuple[str, str] | None:
    if token.kind == "sign":
        wanted = _SIGNS.get(token.text)
        return (f"`{token.text}` is not part of the language", wanted) if wanted else None
    if token.kind == "number" and re.fullmatch(r"0[0-9_]*[1-9][0-9_]*", token.text):
        return (
            f"{token.text} begins with a zero",
            "a number without leading zeros, date('2025-01-31'), or text in quotes",
        )
    return (_word(before, token, after) if token.kind == "word" else None) or _neighbours(before, token)


def _word(before: _Token | None, token: _Token, after: _Token | None) -> tuple[str, str] | None:
    lower = token.text.lower()
    if lower in _OWN and token.text != lower:
        return f"`{token.text}` is written in lower case", lower
    if token.text == "if" and not (before and _ends(before)):
        return "`if` stands before its value", CHOICE
    if keyword.iskeyword(token.text) and token.text not in _OWN | _VALUES:
        return f"`{token.text}` is a word of the language", f"field('{token.text}') for a field of that name"
    if lower in _WORDS and after is not None and _begins(after):
        return f"`{token.text}` is not part of the language", _WORDS[lower]
    return None


def _neighbours(before: _Token | None, token: _Token) -> tuple[str, str] | None:
    if before is None or not _ends(before) or not _begins(token):
        return None
    return f"`{token.text[:80]}` stands right after a value", "an operator between them, such as and, == or +"


def _ends(token: _Token) -> bool:
    """Say whether a value can end here."""
    return token.text in _CLOSING if token.kind == "sign" else token.text not in _OWN


def _begins(token: _Token) -> bool:
    """Say whether a value begins here."""
    return token.kind != "sign" and token.text not in _OWN


def _at(text: str, start: int, message: str, expected: str) -> ExpressionError:
    line, column = text.count("\n", 0, start) + 1, start - text.rfind("\n", 0, start)
    return ExpressionError(message, line=line, column=column, expected=expected)
