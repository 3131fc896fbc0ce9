class MisfitError(ValueError):
    """What a model's own check refuses: what is wrong, at which place below the model, what was expected, what is near.

    A ValueError, so that the model's validation gathers it with the others.
    """

    def __init__(self, message: str, *below: int | str, expected: str = "", nearest: str | None = None) -> None:
        self.below = below
        self.expected = expected
        self.nearest = nearest
        super().__init__(message)
