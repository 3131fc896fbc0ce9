"""The regular expressions of a query: looked at before the engine compiles one, and kept from its binder.

The binder compiles each pattern, and works out what it matches between, several times as dear; it only needs to see
that there is one.
"""

import re
from collections.abc import Iterator, Sequence

from libs.expressions.patterns import PatternError, Patterns
from libs.expressions.sql.errors import SqlError, position
from libs.expressions.sql.tree import Node, refused

MAX_PATTERN = 256
PATTERNS = frozenset({"regexp_extract", "regexp_full_match", "regexp_matches", "regexp_replace"})
"""Functions that take one, in second place."""
_OPTIONS = {"regexp_extract": 3, "regexp_replace": 3}
"""Where a pattern's options stand, if not in third place."""
_PLAIN = re.compile(r"'(?:[^']|'')*'(?:\s*\n\s*'(?:[^']|'')*')*")
"""A text in single quotes; further ones on lines of their own belong to it."""
_CHARACTER = re.compile(r"(?P<joint>'\s*\n\s*')|''|[^']", re.DOTALL)


def check_patterns(nodes: Sequence[Node], text: str, patterns: Patterns) -> None:
    """Refuse a pattern that is no literal, too long or too large with those before it, or none."""
    for node in _matching(nodes):
        literal = _pattern_of(node)
        if literal is None or len(_value(literal)) > MAX_PATTERN:
            name = node["function_name"]
            wanted = f"at most {MAX_PATTERN} characters"
            raise refused("value", f"{name} takes a literal pattern", node, text, expected=wanted)
        if _is_plain_text(node):
            continue
        try:
            patterns.check(_value(literal))
        except PatternError as error:
            raise _placed(error, literal, text) from None


def without_patterns(nodes: Sequence[Node], text: str) -> str:
    """Put texts that match themselves in place of the patterns, in the nodes, and in the text, at the same places.

    Raises:
        SqlError: a pattern is not written in single quotes.
    """
    hidden = text
    for literal in filter(None, map(_pattern_of, _matching(nodes))):
        start, written = _found(literal, text)
        if not written:
            wanted = "a text in single quotes"
            raise refused("value", "the pattern is written in another way", literal, text, expected=wanted)
        inside = re.sub(r"[^\n]", "x", written[1:-1])
        hidden = f"{hidden[:start]}'{inside}'{hidden[start + len(written) :]}"
        literal["literal"]["text"] = "x"
    return hidden


def _matching(nodes: Sequence[Node]) -> Iterator[Node]:
    return (node for node in nodes if str(node.get("function_name")).lower() in PATTERNS)


def _pattern_of(node: Node) -> Node | None:
    arguments = [one["expression"] for one in node.get("arguments", ())]
    return arguments[1] if len(arguments) > 1 and _is_text(arguments[1]) else None


def _is_plain_text(node: Node) -> bool:
    """Say whether the options ask for the pattern to be found as it is written."""
    arguments = [one["expression"] for one in node["arguments"]]
    options = arguments[_OPTIONS.get(str(node["function_name"]).lower(), 2) :]
    return any("l" in _value(one) for one in options if _is_text(one))


def _is_text(node: Node) -> bool:
    return node.get("class") == "CONSTANT" and node["literal"]["kind"] == "STRING"


def _value(literal: Node) -> str:
    return str(literal["literal"]["text"])


def _found(literal: Node, text: str) -> tuple[int, str]:
    """Return where a literal begins, in characters, and how it is written, if in single quotes."""
    start = len(text.encode()[: literal["query_location"]].decode(errors="ignore"))
    plain = _PLAIN.match(text, start)
    written = plain[0] if plain else ""
    return start, written if "".join(text for _, text in _characters(written)) == _value(literal) else ""


def _characters(written: str) -> Iterator[tuple[int, str]]:
    """Yield the characters that a literal stands for, and where it has them."""
    for found in _CHARACTER.finditer(written, 1, len(written) - 1):
        if not found["joint"]:
            yield found.start(), found[0][:1]


def _placed(error: PatternError, literal: Node, text: str) -> SqlError:
    start, written = _found(literal, text)
    places = [place for place, _ in _characters(written)] + [len(written) - 1]
    start += places[min(error.at, len(places) - 1)] if written else 0
    line, column = position(text, len(text[:start].encode()))
    return SqlError("value", error.message, line=line, column=column, expected=error.expected, nearest=error.nearest)
