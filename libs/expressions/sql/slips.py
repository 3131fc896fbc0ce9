"""What stands in a query that cannot be read, or that people know from other engines: where it is and what to write."""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from libs.common.nearest import nearest_name
from libs.expressions.sql.errors import Category, SqlError

_TOKEN = re.compile(
    r"""(?P<text>'(?:[^']|'')*')|(?P<name>"(?:[^"]|"")*")|(?P<note>--[^\n]*|/\*.*?\*/)|(?P<word>[^\W\d]\w*)|(?P<number>\d[\w.]*)"""
    r"""|(?P<sign>[^\s\w])""",
    re.DOTALL,
)
_WORDS = (
    "select", "from", "where", "group", "by", "having", "order", "limit", "offset", "join", "left", "right", "full", "inner", "outer",
    "cross", "semi", "anti", "on", "using", "and", "or", "not", "in", "is", "null", "between", "like", "ilike", "case", "when", "then", "else",
    "end", "as", "with", "union", "except", "intersect", "all", "distinct", "exists", "over", "partition", "qualify", "cast", "asc", "desc",
    "filter", "rows", "range", "preceding", "following", "current", "row", "true", "false", "similar", "to", "escape", "values",
)  # fmt: skip
_WANTED = 'one SELECT; a column called like a word of SQL stands in double quotes, as in "from"'
_CLOCK = "business_date or as_of of the table run"
_SIGNS = {
    "[": "a name alone, or in double quotes",
    "`": "a name alone, or in double quotes",
    ":": f"{_CLOCK}, or a literal",
    ";": "one SELECT",
}
CLOCKS = frozenset(
    [
        "now",
        "today",
        "current_date",
        "current_timestamp",
        "get_current_timestamp",
        "transaction_timestamp",
        "getdate",
        "getutcdate",
        "sysdate",
        "systimestamp",
        "curdate",
        "curtime",
        "localtimestamp",
        "utc_timestamp",
    ]
)
"""What asks for the time in this engine or another."""
ELSEWHERE = {
    **dict.fromkeys(("nvl", "ifnull", "isnull", "zeroifnull"), "coalesce"), **dict.fromkeys(("len", "datalength", "size"), "length"),
    **dict.fromkeys(("charindex", "locate", "find"), "instr"), "iif": "if", "dateadd": "date_add", "to_char": "strftime",
    **dict.fromkeys(("to_date", "str_to_date", "parse_date"), "strptime"), "regexp_like": "regexp_matches", "mid": "substring",
    "matches": "regexp_full_match", "days_between": "date_diff", "has": "contains", "array_agg": "string_agg", "list": "string_agg",
}  # fmt: skip
"""Functions of other engines, and of expressions: what has their meaning here."""


class _Token(NamedTuple):
    kind: str
    text: str
    start: int


def no_query(text: str) -> SqlError:
    """Return the error of a text that does not begin with SELECT or WITH, at its first word."""
    found = next(_TOKEN.finditer(text), None)
    if found is None:
        return SqlError("statement", "it does not begin with SELECT or WITH: it is empty", expected="one SELECT")
    if found["note"]:
        said = "it does not begin with SELECT or WITH: a note stands first"
        return _at(text, found.start(), said, "the note further down", category="statement")
    near = None if found[0].lower() == "delete" else nearest_name(found[0], ("select", "with"))
    said = f"it does not begin with SELECT or WITH: `{found[0][:40]}` stands first"
    return _at(text, found.start(), said, "one SELECT", near.upper() if near else None, "statement")


def several(text: str, message: str) -> SqlError:
    """Return the error of more than one statement, at the second one."""
    ends = [token.start for token in _tokens(text) if token.text == ";"]
    after = next((token.start for token in _tokens(text) if ends and token.start > ends[0]), 0)
    return _at(text, after, message, "one SELECT", None, "statement")


def unreadable(text: str, line: int, column: int, message: str) -> SqlError:
    """Return the error of what the engine cannot read, at the place where it stopped."""
    if message.startswith("SELECT clause without"):
        return SqlError("syntax", "the SELECT names nothing", line=line, column=column, expected="columns after it")
    if message.startswith("unterminated"):
        return SqlError(
            "syntax", "the text has no end", line=line, column=column, expected="a quote that ends the text"
        )
    tokens = list(_tokens(text))
    start = sum(len(one) + 1 for one in text.split("\n")[: line - 1]) + column - 1
    number = next((number for number, token in enumerate(tokens) if token.start == start), None)
    if number is None or not message.startswith("syntax error"):
        return SqlError("syntax", message[:200], line=line, column=column, expected=_WANTED)
    return _bracket(text, tokens, number) or _word(text, tokens, number)


def _bracket(text: str, tokens: Sequence[_Token], number: int) -> SqlError | None:
    """Return the error of a bracket without its counterpart, if that is what stopped the reading."""
    opened: list[_Token] = []
    for token in tokens[: number + 1]:
        if token.text == "(":
            opened.append(token)
        elif token.text == ")" and not opened:
            return _at(text, token.start, "a parenthesis closes before it opens", "balanced parentheses")
        elif token.text == ")":
            opened.pop()
    if opened and number == len(tokens) - 1:
        return _at(text, opened[-1].start, "`(` is never closed", "balanced parentheses")
    return None


def _word(text: str, tokens: Sequence[_Token], number: int) -> SqlError:
    token, before = tokens[number], tokens[number - 1] if number else None
    shown, last = token.text[:80], number == len(tokens) - 1
    if before is not None and before.text.lower() == "top":
        return _at(text, before.start, "`TOP` is not part of the language", "LIMIT at the end")
    near = _misspelt(before)
    if near is not None and before is not None and token.kind in ("word", "name"):
        return _at(text, before.start, f"`{before.text[:80]}` is followed by `{shown}`", _WANTED, near)
    if last:
        said = f"something is missing after `{shown}`, or it does not belong here"
        joined = any(one.text.lower() == "join" for one in tokens[-3:])
        return _at(text, token.start, said, _JOIN if joined else "a whole SELECT")
    if token.text == "," and before is not None and before.kind == tokens[number + 1].kind == "number":
        return _at(text, token.start, "a comma stands between two numbers", "a point in a number")
    wanted = _SIGNS.get(token.text, _WANTED)
    return _at(text, token.start, f"`{shown}` does not belong here", wanted, _misspelt(token))


def named_at(text: str, name: str) -> tuple[int, int]:
    """Return the line and column where a query names a column so: after AS, or else where the name first stands."""
    tokens = [_Token("sign", "", 0), *_tokens(text)]
    same = [pair for pair in pairwise(tokens) if pair[1].text.lower().strip('"') == name.lower()]
    start = next(
        (token.start for before, token in [*same] if before.text.lower() == "as"), same[0][1].start if same else 0
    )
    return text.count("\n", 0, start) + 1, start - text.rfind("\n", 0, start)


def place_of(text: str, word: str) -> int:
    """Return where a word or sign first stands in a query, outside of texts and notes; 0 where it does not."""
    return next((token.start for token in _tokens(text) if token.text.lower() == word), 0)


_SHORT = 4
"""Shorter words are like too many."""
_JOIN = "ON a.x = b.y, or USING (x)"


def _misspelt(token: _Token | None) -> str | None:
    """Return the word of SQL that a word is very like, and is not."""
    if token is None or token.kind != "word" or token.text.lower() in _WORDS or len(token.text) < _SHORT:
        return None
    near = nearest_name(token.text, _WORDS)
    return near.upper() if near else None


def _tokens(text: str) -> Iterator[_Token]:
    for found in _TOKEN.finditer(text):
        if found.lastgroup != "note":
            yield _Token(str(found.lastgroup), found[0], found.start())


def _at(
    text: str, start: int, message: str, expected: str, nearest: str | None = None, category: Category = "syntax"
) -> SqlError:
    line, column = text.count("\n", 0, start) + 1, start - text.rfind("\n", 0, start)
    return SqlError(category, message, line=line, column=column, expected=expected, nearest=nearest)
