from typing import Literal

Category = Literal[
    "size", "syntax", "statement", "shape", "table", "column", "join", "function", "type", "value", "binding"
]


class SqlError(ValueError):
    """A refused SQL text: what is wrong, where (line and column from 1), what was expected, the nearest known name.

    `category` says which wall it ran into; it is stable and fit for a metric.
    """

    def __init__(
        self,
        category: Category,
        message: str,
        *,
        line: int = 1,
        column: int = 1,
        expected: str = "",
        nearest: str | None = None,
    ) -> None:
        self.category: Category = category
        self.message = message
        self.line = line
        self.column = column
        self.expected = expected
        self.nearest = nearest
        super().__init__(self._sentence())

    def _sentence(self) -> str:
        text = f"line {self.line}, column {self.column}: {self.message}"
        if self.expected:
            text += f"; expected {self.expected}"
        if self.nearest:
            text += f"; did you mean {self.nearest!r}?"
        return text


def position(text: str, offset: int) -> tuple[int, int]:
    """Return line and column, in characters from 1, of a byte offset in `text`."""
    before = text.encode()[: max(offset, 0)].decode(errors="ignore")
    return before.count("\n") + 1, len(before) - before.rfind("\n")
