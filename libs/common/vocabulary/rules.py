from datetime import date
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, Field, FiniteFloat, model_validator

from libs.common.vocabulary.base import ExpressionText, Name, SqlText, Strict, Text

Severity = Literal["blocking", "warning", "correctable"]
Phase = Literal["input", "output"]


class ExpressionCheck(Strict):
    """A condition that every record must meet.

    `on_unknown` says what becomes of a record for which the condition is neither true nor false (a null took part).
    """

    kind: Literal["expression"] = "expression"
    expression: ExpressionText
    on_unknown: Literal["fail", "pass"] = "pass"


class UniqueCheck(Strict):
    """Among records with equal `fields` the first (by source order) stays; the later ones fail. Nulls are equal."""

    kind: Literal["unique"] = "unique"
    fields: tuple[Name, ...] = Field(min_length=1, max_length=20)


class ReferenceCheck(Strict):
    """`field` must be a key of the mapping `mapping` (an alias) that is valid on the business date; null passes."""

    kind: Literal["reference"] = "reference"
    field: Name
    mapping: Name


class SequenceCheck(Strict):
    """For each record where `when` holds there must be one with equal `fields` where `requires` holds.

    Example: a cancellation needs its original.
    """

    kind: Literal["sequence"] = "sequence"
    fields: tuple[Name, ...] = Field(min_length=1, max_length=20)
    when: ExpressionText
    requires: ExpressionText


class SqlCheck(Strict):
    """A query of the failing records: one SELECT that gives their `_ordinal`.

    It reads `records` (the typed fields and `_ordinal`), `run` (one row: `business_date`, `as_of`) and the rule's
    mappings by alias (`key` and their columns, as valid on the business date). `docs/expressions.md` has the rest.
    """

    kind: Literal["sql"] = "sql"
    sql: SqlText


Check = Annotated[
    ExpressionCheck | UniqueCheck | ReferenceCheck | SequenceCheck | SqlCheck, Field(discriminator="kind")
]


class Fix(Strict):
    """What a correctable rule writes into a failing record: `field` becomes the value of `expression`."""

    field: Name
    expression: ExpressionText


def _storable(text: str) -> str:
    text.encode()  # refuses half of a surrogate pair, which is no character
    return text


GivenText = Annotated[str, Field(max_length=10_000), AfterValidator(_storable)]
GivenInteger = Annotated[int, Field(ge=-(2**63), lt=2**63)]
GivenValue = GivenText | bool | GivenInteger | FiniteFloat | None
"""A field's value in a record that somebody wrote down; it is judged as the text that a file would hold."""


class RuleTest(Strict):
    """Records that show what a rule means: `failing` are the places (1 is the first) of those that must fail.

    A rule whose tests do not come out as written is not published. `business_date` and `as_of` stand for a run's own;
    without them it is the day and moment of publishing.
    """

    name: Text = ""
    records: tuple[dict[Name, GivenValue], ...] = Field(min_length=1, max_length=50)
    failing: tuple[int, ...] = Field(default=(), max_length=50)
    business_date: date | None = None
    as_of: AwareDatetime | None = None

    @model_validator(mode="after")
    def _places_exist(self) -> Self:
        if any(not 1 <= place <= len(self.records) for place in self.failing):
            raise ValueError(f"failing names a record that is not there; there are {len(self.records)}")
        return self


class RuleSpec(Strict):
    """A check on the records of one schema.

    `mappings` gives aliases to the mappings that the check looks things up in. `message` may name fields in braces:
    `"price {price} is not positive"`. `fields` are the ones whose values are kept with a failure; empty means those
    that the check reads. `external_id` is the authority's id of the rule, `owner` who answers for it.
    """

    schema_id: UUID
    phase: Phase = "input"
    severity: Severity = "blocking"
    check: Check
    mappings: dict[Name, UUID] = Field(default_factory=dict, max_length=20)
    fields: tuple[Name, ...] = Field(default=(), max_length=50)
    message: Text = ""
    external_id: Text = ""
    owner: Text = ""
    fix: Fix | None = None
    tests: tuple[RuleTest, ...] = Field(default=(), max_length=50)

    @model_validator(mode="after")
    def _fix_goes_with_correctable(self) -> Self:
        if (self.severity == "correctable") != (self.fix is not None):
            raise ValueError("a correctable rule declares a fix, and only a correctable one")
        if self.severity == "correctable" and self.check.kind != "expression":
            raise ValueError("only expression rules can be correctable")
        if self.severity == "correctable" and self.phase != "input":
            raise ValueError("a correctable rule belongs to the input phase")
        return self

    @model_validator(mode="after")
    def _query_tables_differ(self) -> Self:
        taken = sorted({"records", "run", "previous"} & self.mappings.keys())
        if isinstance(self.check, SqlCheck) and taken:
            raise ValueError(f"a query has a table named {taken[0]!r} already; give the mapping another alias")
        return self

    @model_validator(mode="after")
    def _alias_is_declared(self) -> Self:
        if isinstance(self.check, ReferenceCheck) and self.check.mapping not in self.mappings:
            raise ValueError(f"check.mapping names {self.check.mapping!r}, which `mappings` does not declare")
        return self
