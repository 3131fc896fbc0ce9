from datetime import date
from itertools import pairwise
from typing import Annotated, Self

from pydantic import Field, model_validator

from libs.common.misfits import MisfitError
from libs.common.nearest import nearest_name
from libs.common.vocabulary.base import Name, Strict

MappingValue = Annotated[str, Field(max_length=1000)]


class MappingEntry(Strict):
    """One key's values, valid from `valid_from` to `valid_to`, both days included; None is open-ended."""

    key: str = Field(min_length=1, max_length=200)
    values: dict[Name, MappingValue | None] = Field(default_factory=dict)
    valid_from: date | None = None
    valid_to: date | None = None

    @model_validator(mode="after")
    def _period_is_forward(self) -> Self:
        if self.valid_from and self.valid_to and self.valid_to < self.valid_from:
            told = f"valid_to {self.valid_to} lies before valid_from {self.valid_from}"
            raise MisfitError(told, "valid_to", expected=f"{self.valid_from} or later")
        return self


class MappingSpec(Strict):
    """A lookup table: internal code → official values. Values are text; expressions cast where they need to.

    For any day a key has at most one valid entry.
    """

    columns: tuple[Name, ...] = Field(default=(), max_length=50)
    entries: tuple[MappingEntry, ...] = Field(max_length=200_000)

    @model_validator(mode="after")
    def _columns_are_declared(self) -> Self:
        for place, name in enumerate(self.columns):
            if name == "key" or name in self.columns[:place]:
                told = "columns differ from each other, and none is called key"
                raise MisfitError(told, "columns", place, expected="another name")
        known = set(self.columns)
        for position, entry in enumerate(self.entries):
            unknown = sorted(set(entry.values) - known)
            if unknown:
                told = f"entry {position} ({entry.key}) has undeclared columns: {', '.join(unknown)}"
                wanted = f"one of {', '.join(self.columns)}" if self.columns else "a name in columns"
                near = nearest_name(unknown[0], known)
                raise MisfitError(told, "entries", position, "values", unknown[0], expected=wanted, nearest=near)
        return self

    @model_validator(mode="after")
    def _periods_do_not_overlap(self) -> Self:
        ordered = sorted(enumerate(self.entries), key=lambda placed: (placed[1].key, placed[1].valid_from or date.min))
        for (_, earlier), (place, later) in pairwise(ordered):
            if earlier.key == later.key and (earlier.valid_to or date.max) >= (later.valid_from or date.min):
                told = f"entries of key {earlier.key!r} overlap from {later.valid_from}"
                raise MisfitError(told, "entries", place, expected="one entry of a key for each day")
        return self
