class PatternError(ValueError):
    """A refused pattern: what is wrong, at which of its characters (0 is the first), what was expected, the nearest form."""

    def __init__(self, message: str, at: int = 0, expected: str = "", nearest: str | None = None) -> None:
        self.message = message
        self.at = at
        self.expected = expected
        self.nearest = nearest
        super().__init__(message)
