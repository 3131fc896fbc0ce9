"""Where the parts of an expression stand in its text, and how they were written."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate

from libs.expressions.errors import ExpressionError
from libs.expressions.literals import character_in

_ONE_LITERAL = re.compile(r"""[a-zA-Z]*(?:'(?!'')(?:\\.|[^'\\\n])*'|"(?!"")(?:\\.|[^"\\\n])*")""")
_OPERATORS = {
    ast.Pow: "value * value", ast.BitXor: "value * value, or != for one of two", ast.BitAnd: "and, or + to join texts",
    ast.BitOr: "or, or + to join texts", ast.LShift: "<", ast.RShift: ">",
}  # fmt: skip


def _gap(node: ast.BinOp) -> Iterator[tuple[int, int]]:
    """Yield where the left side of an operator ends and where its right one begins."""
    yield node.left.end_lineno or node.lineno, node.left.end_col_offset or 0
    yield node.right.lineno, node.right.col_offset


@dataclass(frozen=True, slots=True)
class Source:
    """The text of an expression; knows where its nodes stand and how they were written."""

    text: str
    _wrapped: str = field(init=False, repr=False)
    _lines: list[str] = field(init=False, repr=False)
    _starts: list[int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        wrapped = f"({self.text}\n)"  # as it is parsed
        lines = wrapped.split("\n")
        object.__setattr__(self, "_wrapped", wrapped)
        object.__setattr__(self, "_lines", lines)
        object.__setattr__(self, "_starts", [0, *accumulate(len(line) + 1 for line in lines)])

    def error(
        self,
        node: ast.AST,
        message: str,
        *,
        expected: str = "",
        nearest: str | None = None,
        within: int | None = None,
    ) -> ExpressionError:
        """Make the error that points at `node`, or at the character `within` the value of a text."""
        line, column = self._position(getattr(node, "lineno", 1), getattr(node, "col_offset", 1))
        if within is not None and isinstance(node, ast.expr):
            literal = self.written(node)
            *lines, last = literal[: character_in(literal, within)].split("\n")
            line, column = line + len(lines), len(last) + (1 if lines else column)
        return ExpressionError(message, line=line, column=column, expected=expected, nearest=nearest)

    def operator(self, node: ast.BinOp) -> ExpressionError:
        """Make the error of an operator that is not part of the language, at the operator itself."""
        start, end = (self._offset(line, column) for line, column in _gap(node))
        between = re.search(r"[^\s()]+", re.sub(r"#[^\n]*", lambda note: " " * len(note[0]), self._wrapped[start:end]))
        at = start + (between.start() if between else 0) - 1
        line, column = self.text.count("\n", 0, at) + 1, at - self.text.rfind("\n", 0, at)
        sign = between[0] if between else ""
        wanted = _OPERATORS.get(type(node.op), "+ - * / // %")
        return ExpressionError(f"`{sign}` is not part of the language", line=line, column=column, expected=wanted)

    def after_note_sign(self, node: ast.Name) -> bool:
        """Say whether a name stands right after what begins a note in other languages."""
        return re.search(r"(--|//)\s*$", self._wrapped[: self._offset(node.lineno, node.col_offset)]) is not None

    def _offset(self, line: int, column: int) -> int:
        """Return the place in the text in parentheses of a line and a column in bytes."""
        written = self._lines[line - 1]
        before = column if written.isascii() else len(written.encode()[:column].decode(errors="ignore"))
        return self._starts[line - 1] + before

    def written(self, node: ast.expr) -> str:
        """Return the text of `node` exactly as written."""
        end = self._offset(node.end_lineno or node.lineno, node.end_col_offset or 0)
        return self._wrapped[self._offset(node.lineno, node.col_offset) : end]

    def string_tokens(self, node: ast.expr) -> int:
        """Return how many literals a text was written as: Python joins neighbours, so `'it''s'` loses its quote."""
        written = self.written(node)
        if _ONE_LITERAL.fullmatch(written):
            return 1
        tokens = tokenize.generate_tokens(io.StringIO(f"({written}\n)").readline)
        return sum(token.type == tokenize.STRING for token in tokens)

    def _position(self, line: int, offset: int) -> tuple[int, int]:
        column = self._offset(line, offset) - self._starts[line - 1]
        return line, max(column + (0 if line == 1 else 1), 1)
