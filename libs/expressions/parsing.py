"""From text to a tree of allowed nodes. Nothing here, or after it, ever evaluates the text."""

import ast
import re
import threading
import warnings
from collections.abc import Iterator

from libs.expressions.errors import ExpressionError
from libs.expressions.slips import CHOICE, slip, unbalanced
from libs.expressions.source import Source

MAX_TEXT = 4096
MAX_NODES = 400
MAX_DEPTH = 40
MAX_LIST = 1000
MAX_STRING = 1024
MAX_PATTERN = 256
MAX_PATTERNS = 20
MAX_DIGITS = 38

NO_LIST = "a value; a field's name stands without brackets"
_WARNING_FILTERS = threading.Lock()

_ALLOWED = (
    ast.Expression, ast.BoolOp, ast.BinOp, ast.UnaryOp, ast.Compare, ast.IfExp, ast.Call, ast.Constant, ast.Name, ast.List, ast.Tuple,
)  # fmt: skip

_REFUSED = {
    ast.Attribute: "attributes (`a.b`) are not part of the language",
    ast.Set: "braces are not part of the language",
    ast.Dict: "braces are not part of the language",
    ast.Subscript: "subscripts (`a[b]`) are not part of the language",
    ast.Lambda: "lambda is not part of the language",
    ast.JoinedStr: "format strings are not part of the language",
    ast.NamedExpr: "assignment is not part of the language",
    ast.Starred: "`*` before an argument is not part of the language",
    ast.ListComp: "comprehensions are not part of the language",
    ast.SetComp: "comprehensions are not part of the language",
    ast.DictComp: "comprehensions are not part of the language",
    ast.GeneratorExp: "comprehensions are not part of the language",
}


_INSTEAD = {
    ast.Subscript: "substring(text, start, length), or lookup('mapping', key, 'column')",
    ast.Lambda: "a condition on one record",
    ast.JoinedStr: "+ to join texts",
    ast.NamedExpr: "==",
    ast.Starred: "the arguments one by one",
    **dict.fromkeys(
        (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp), "a condition on one record, or an aggregate rule"
    ),
    ast.Attribute: "a field's name alone; functions stand before their values, as in upper(name)",
    ast.Set: "a field's name alone, or a list in [ ]",
    ast.Dict: "a field's name alone, or a list in [ ]",
}


_WANTED = {
    "unterminated": ("the text has no end", "a quote that ends the text"),
    "expected 'else'": ("`if` has no `else`", CHOICE),
    "literal": ("the number is not readable", "a number"),
    "non-printable": ("", "a plain space"),
    "invalid character": ("", "a sign of the language"),
    "too many nested": ("", f"{MAX_DEPTH} levels at most"),
}
"""Our words for what Python's own message says, and what to write there."""


def parse(text: str) -> tuple[ast.expr, Source]:
    """Read `text` as one expression of allowed nodes within the limits, or raise ExpressionError."""
    _check_text(text)
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    _check_continuations(text)
    source = Source(text)
    body = _syntax(text)
    _check_nodes(body, source)
    if body.col_offset == 0 and body.lineno == 1:
        raise unbalanced(text) or source.error(body, "a list can only stand after `in`", expected=NO_LIST)
    return body, source


def _check_text(text: str) -> None:
    if not isinstance(text, str):
        raise ExpressionError("an expression is text")
    if len(text) > MAX_TEXT:
        raise ExpressionError(f"the expression has {len(text)} characters", expected=f"at most {MAX_TEXT}")
    if not text.strip():
        raise ExpressionError("the expression is empty", expected="an expression")
    for position, char in enumerate(text):
        if (char < " " and char not in "\t\n\r") or "\ud800" <= char <= "\udfff":
            line = text.count("\n", 0, position) + 1
            column = position - text.rfind("\n", 0, position)
            raise ExpressionError(f"character U+{ord(char):04X} is not allowed", line=line, column=column)


def _check_continuations(text: str) -> None:
    for number, line in enumerate(text.split("\n"), 1):
        if line.endswith("\\"):
            raise ExpressionError(
                "a line ends with a backslash", line=number, column=len(line), expected="a line end alone"
            )


def _syntax(text: str) -> ast.expr:
    """Parse inside parentheses, so that an expression may run over several lines."""
    try:
        with _WARNING_FILTERS, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(f"({text}\n)", filename="<expression>", mode="eval").body
    except SyntaxError as error:
        told = None if "unterminated" in str(error.msg) else slip(text) or unbalanced(text)
        raise told or _syntax_error(text, error) from None
    except (ValueError, RecursionError, MemoryError):
        raise ExpressionError(
            "the expression is nested too deeply or holds a number that is too long",
            expected=f"depth up to {MAX_DEPTH}",
        ) from None


def _syntax_error(text: str, error: SyntaxError) -> ExpressionError:
    lines = text.count("\n") + 1
    line = min(max(error.lineno or 1, 1), lines)
    column = (error.offset or 1) - (1 if line == 1 else 0)
    if (error.lineno or 1) > lines:
        column = len(text) - text.rfind("\n")
    message = re.split(r" \((?:<expression>|detected)|\. (?:Maybe|Perhaps) you ", error.msg or "invalid syntax")[0]
    said, wanted = next((words for part, words in _WANTED.items() if part in message), ("", "a value"))
    if message.startswith(("invalid syntax", "cannot assign", "expression expected")):
        said, wanted = _stray(text, line, max(column, 1))
    return ExpressionError(said or message, line=line, column=max(column, 1), expected=wanted)


def _stray(text: str, line: int, column: int) -> tuple[str, str]:
    """Return what is said of something that cannot stand where it does."""
    rest = (text.split("\n")[line - 1] + "\n")[column - 1 :]
    word = re.match(r"\w+|[^\w\s]", rest)
    if not rest.strip() or rest.lstrip().startswith("#"):
        return "the expression ends too early", "a value"
    return f"`{word[0][:80] if word else rest[:1]}` does not belong here", "a value before and after an operator"


def _check_nodes(body: ast.expr, source: Source) -> None:
    count = patterns = 0
    for node, depth, listed in _walk(body):
        _check_kind(node, source)
        patterns += isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "matches"
        if patterns > MAX_PATTERNS:
            raise source.error(node, f"more than {MAX_PATTERNS} patterns are matched", expected="fewer patterns")
        count += 0 if listed and isinstance(node, ast.Constant) else 1
        if count > MAX_NODES:
            raise source.error(node, f"the expression has more than {MAX_NODES} parts", expected="a shorter expression")
        if depth > MAX_DEPTH:
            raise source.error(
                node, f"the expression is nested deeper than {MAX_DEPTH}", expected="a flatter expression"
            )


def _walk(body: ast.expr) -> Iterator[tuple[ast.AST, int, bool]]:
    """Yield each node with its depth and whether it stands in a list; breadth first, without recursion."""
    pending: list[tuple[ast.AST, int, bool]] = [(body, 1, False)]
    while pending:
        node, depth, listed = pending.pop()
        yield node, depth, listed
        inside = isinstance(node, ast.List | ast.Tuple)
        pending.extend(
            (child, depth + 1, inside)
            for child in ast.iter_child_nodes(node)
            if isinstance(child, ast.expr | ast.keyword | ast.comprehension)
        )


def _check_kind(node: ast.AST, source: Source) -> None:
    if (
        isinstance(node, ast.Name) and not source.text.isascii() and source.written(node) != node.id
    ):  # the parser reads look-alikes as plain letters
        raise source.error(node, "a name holds a letter that only looks like one of a-z", expected="plain letters")
    if isinstance(node, ast.keyword):
        raise source.error(node, "named arguments are not part of the language", expected="arguments in order")
    if isinstance(node, ast.List | ast.Tuple) and len(node.elts) > MAX_LIST:
        raise source.error(node, f"the list has {len(node.elts)} elements", expected=f"at most {MAX_LIST}")
    if not isinstance(node, _ALLOWED):
        message = _REFUSED.get(type(node), f"{type(node).__name__} is not part of the language")
        raise source.error(node, message, expected=_INSTEAD.get(type(node), ""))
