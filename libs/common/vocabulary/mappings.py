from datetime import date
from itertools import pairwise
from typing import Annotated, Self

from pydantic import Field, model_validator

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
            raise ValueError(f"valid_to {self.valid_to} lies before valid_from {self.valid_from}")
        return self


class MappingSpec(Strict):
    """A lookup table: internal code → official values. Values are text; expressions cast where they need to.

    For any day a key has at most one valid entry.
    """

    columns: tuple[Name, ...] = Field(default=(), max_length=50)
    entries: tuple[MappingEntry, ...] = Field(max_length=200_000)

    @model_validator(mode="after")
    def _columns_are_declared(self) -> Self:
        if "key" in self.columns or len(set(self.columns)) != len(self.columns):
            raise ValueError("columns differ from each other, and none is called key")
        known = set(self.columns)
        for position, entry in enumerate(self.entries):
            unknown = sorted(set(entry.values) - known)
            if unknown:
                raise ValueError(f"entry {position} ({entry.key}) has undeclared columns: {', '.join(unknown)}")
        return self

    @model_validator(mode="after")
    def _periods_do_not_overlap(self) -> Self:
        ordered = sorted(self.entries, key=lambda entry: (entry.key, entry.valid_from or date.min))
        for earlier, later in pairwise(ordered):
            if earlier.key == later.key and (earlier.valid_to or date.max) >= (later.valid_from or date.min):
                raise ValueError(f"entries of key {earlier.key!r} overlap from {later.valid_from}")
        return self
