from typing import Any, Literal

from libs.expressions.errors import PositionedError

Category = Literal[
    "size", "syntax", "statement", "shape", "table", "column", "join", "function", "type", "value", "binding"
]


class SqlError(PositionedError):
    """A refused SQL text. `category` says which wall it ran into; it is stable and fit for a metric."""

    def __init__(self, category: Category, message: str, **where: Any) -> None:
        self.category: Category = category
        super().__init__(message, **where)


def position(text: str, offset: int) -> tuple[int, int]:
    """Return line and column, in characters from 1, of a byte offset in `text`."""
    before = text.encode()[: max(offset, 0)].decode(errors="ignore")
    return before.count("\n") + 1, len(before) - before.rfind("\n")
