"""Refusals cross the whole system as kinds; the doors translate them.

A refusal cannot succeed on retry. The HTTP door answers with the status, the bus door dead-letters. Anything that is
no refusal is an error: 500 with its detail removed, or a retry with back-off.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self


class Placed(Protocol):
    """What is wrong within a text: where (line and column from 1), what was expected, the nearest known name."""

    @property
    def line(self) -> int:
        """The line, from 1."""

    @property
    def column(self) -> int:
        """The character in the line, from 1."""

    @property
    def message(self) -> str:
        """What is wrong."""

    @property
    def expected(self) -> str:
        """What belongs there; empty where that is not known."""

    @property
    def nearest(self) -> str | None:
        """The known name that was meant, if one is near."""


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """What is wrong with one field; `field` is a JSON pointer into the body, or the parameter's name.

    `place` says more where the field is a text of its own: `line` and `column` from 1, what was `expected`, the
    `nearest` known name, a `category`.
    """

    field: str
    message: str
    place: Mapping[str, str | int] = dataclasses.field(default_factory=dict)

    @classmethod
    def told(
        cls, field: str, message: str, *, expected: str = "", nearest: str | None = None, **place: str | int
    ) -> Self:
        """Make the problem that says in its words, and in `place`, what was expected and what is near."""
        wanted = f" (expected {expected})" if expected else ""
        hint = f"; did you mean {nearest!r}?" if nearest else ""
        parts = {**place, "expected": expected, "nearest": nearest}
        return cls(field, f"{message}{wanted}{hint}", {name: value for name, value in parts.items() if value})

    @classmethod
    def placed(cls, field: str, flaw: Placed, **place: str | int) -> Self:
        """Make the problem of a flaw within a field's text."""
        return cls.told(
            field,
            f"line {flaw.line}, column {flaw.column}: {flaw.message}",
            line=flaw.line,
            column=flaw.column,
            expected=flaw.expected,
            nearest=flaw.nearest,
            **place,
        )

    def as_dict(self) -> dict[str, str | int]:
        """Return the problem as a JSON object."""
        return {"field": self.field, "message": self.message, **self.place}


class Refusal(Exception):  # noqa: N818 - a refusal is not an error
    """A request that is understood and not granted."""

    status: ClassVar[int] = 400
    type: ClassVar[str] = "refused"
    title: ClassVar[str] = "The request was refused"

    def __init__(
        self,
        detail: str,
        *,
        type: str | None = None,  # noqa: A002 - RFC 9457's own word
        fields: Sequence[FieldProblem] = (),
        retry_after: int | None = None,
        extra: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.kind = type or self.type
        self.fields = tuple(fields)
        self.retry_after = retry_after
        self.extra = extra or {}


class Invalid(Refusal):
    """The request's content is wrong."""

    status = 422
    type = "invalid"
    title = "The request is not valid"


class Unauthenticated(Refusal):
    """Who asks is not known."""

    status = 401
    type = "unauthenticated"
    title = "Authentication is required"


class Forbidden(Refusal):
    """Who asks is known and may not."""

    status = 403
    type = "forbidden"
    title = "Permission is missing"


class NotFound(Refusal):
    """There is no such thing, or not for this tenant."""

    status = 404
    type = "not-found"
    title = "Not found"


class Conflict(Refusal):
    """The thing's state does not allow it."""

    status = 409
    type = "conflict"
    title = "The current state does not allow this"


class PreconditionFailed(Refusal):
    """The thing changed since it was read."""

    status = 412
    type = "precondition-failed"
    title = "The resource has changed since it was read"


class TooLarge(Refusal):
    """The body is larger than this route takes."""

    status = 413
    type = "too-large"
    title = "The request body is too large"


class PreconditionRequired(Refusal):
    """A change must say which state it was made against."""

    status = 428
    type = "precondition-required"
    title = "If-Match is required"


class TooManyRequests(Refusal):
    """Too many tries; wait."""

    status = 429
    type = "too-many-requests"
    title = "Too many requests"


class Unavailable(Refusal):
    """The service cannot answer now; the same request may succeed later."""

    status = 503
    type = "unavailable"
    title = "Temporarily unavailable"
