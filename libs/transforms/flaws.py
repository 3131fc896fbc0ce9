"""Something wrong with the text of a Python transform, and where."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Flaw:
    """Something wrong with the text, at a line and a column (both from 1)."""

    line: int
    column: int
    message: str
    expected: str = ""
    nearest: str | None = None

    def __str__(self) -> str:
        hint = f"; did you mean {self.nearest!r}?" if self.nearest else ""
        wanted = f" (expected {self.expected})" if self.expected else ""
        return f"line {self.line}, column {self.column}: {self.message}{wanted}{hint}"


def flaw_at(lines: list[str], node: Any, message: str, expected: str, nearest: str | None = None) -> Flaw:
    """Make the flaw at a node, whose column Python counts in bytes."""
    before = lines[node.lineno - 1].encode()[: node.col_offset].decode(errors="ignore")
    return Flaw(node.lineno, len(before) + 1, message, expected, nearest)
