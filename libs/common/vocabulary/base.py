"""What all definitions share: strictness, names, limits."""

import re
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from libs.common.misfits import MisfitError

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


class Strict(BaseModel):
    """A model that refuses what it does not know and never changes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _lower_snake(value: str) -> str:
    if not _NAME.fullmatch(value):
        near = re.sub(r"[^a-z0-9]+", "_", value.lower()).strip("_")
        raise MisfitError(
            "must start with a lower-case letter and hold only a-z, 0-9 and _ (63 characters at most)",
            expected="a name such as trade_date",
            nearest=near if _NAME.fullmatch(near) else None,
        )
    return value


Name = Annotated[str, AfterValidator(_lower_snake)]
"""A name that is safe as a column, a field and an alias: lower-case snake, 63 characters at most."""


def _in_the_calendar(value: datetime) -> datetime:
    try:
        value.astimezone(UTC)
    except OverflowError:
        raise ValueError("lies outside the years 1 to 9999 in UTC") from None
    return value


Instant = Annotated[AwareDatetime, AfterValidator(_in_the_calendar)]
"""A moment with its zone; at the two ends of the calendar a zone could lead out of it."""

Text = Annotated[str, Field(max_length=500)]
"""A label or description."""

ExpressionText = Annotated[str, Field(min_length=1, max_length=4096)]
"""The source text of an expression; `libs.expressions` gives it meaning."""

SqlText = Annotated[str, Field(min_length=1, max_length=8192)]
"""The text of a query over declared tables; `libs.expressions.sql` says what of it may run."""
