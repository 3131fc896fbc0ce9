class PositionedError(ValueError):
    """A refused text: what is wrong, where (line and column from 1), what was expected, the nearest known name."""

    def __init__(
        self, message: str, *, line: int = 1, column: int = 1, expected: str = "", nearest: str | None = None
    ) -> None:
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


class ExpressionError(PositionedError):
    """A refused expression."""


class Refusal(Exception):  # noqa: N818 - carries a refusal to the place that knows the position
    """A refusal that does not know its position yet.

    `argument` is the index of the argument at fault, if any; `within` the character of that text, 0 is the first.
    """

    def __init__(
        self,
        message: str,
        *,
        expected: str = "",
        nearest: str | None = None,
        argument: int | None = None,
        within: int | None = None,
    ) -> None:
        self.message = message
        self.expected = expected
        self.nearest = nearest
        self.argument = argument
        self.within = within
        super().__init__(message)
