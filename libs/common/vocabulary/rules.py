from datetime import date
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, Field, FiniteFloat, model_validator

from libs.common.misfits import MisfitError
from libs.common.nearest import nearest_name
from libs.common.vocabulary.base import ExpressionText, Instant, Name, SqlText, Strict, Text

Severity = Literal["blocking", "warning", "correctable"]
Phase = Literal["input", "output"]
Scope = Literal["record", "dataset", "history"]


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


class Measure(Strict):
    """One figure over records: how many, or the sum, smallest, largest, mean or number of distinct values of `value`.

    Only records where `where` holds take part. `of` says which records: those of this run, or those of the previous
    extract of the same report (none yet: the figure is null). `missing` counts the keys `fields` that the previous
    extract has and this one lacks, `missing_keys` names up to twenty of them.
    """

    function: Literal["count", "count_distinct", "sum", "min", "max", "avg", "missing", "missing_keys"]
    value: ExpressionText | None = None
    where: ExpressionText | None = None
    of: Literal["records", "previous"] = "records"
    fields: tuple[Name, ...] = Field(default=(), max_length=20)

    @model_validator(mode="after")
    def _parts_fit_the_function(self) -> Self:
        valued = self.function in ("count_distinct", "sum", "min", "max", "avg")
        if valued != (self.value is not None):
            told = f"{self.function} takes {'a' if valued else 'no'} value"
            raise MisfitError(told, "value", expected="an expression" if valued else "nothing")
        if self.function.startswith("missing") != bool(self.fields):
            told = "fields belong to missing and missing_keys, and these need them"
            raise MisfitError(told, "fields", expected="nothing" if self.fields else "the fields of the key")
        if self.fields and (self.where is not None or self.of != "previous"):
            told = f"{self.function} is of the previous records, all of them"
            at, wanted = ("of", "previous") if self.of != "previous" else ("where", "nothing")
            raise MisfitError(told, at, expected=wanted)
        return self


class AggregateCheck(Strict):
    """Figures over groups of records, and the condition that each group must meet.

    Records with equal `group_by` are a group; without it all records are one. `condition` speaks of the measures and
    the fields of `group_by`. A group that does not meet it fails: all its records, or its first by source order.
    Example: the sum of a book's amounts stays below a limit; no more than 5 % fewer records than last time.
    """

    kind: Literal["aggregate"] = "aggregate"
    group_by: tuple[Name, ...] = Field(default=(), max_length=10)
    measures: dict[Name, Measure] = Field(min_length=1, max_length=10)
    condition: ExpressionText
    on_unknown: Literal["fail", "pass"] = "pass"
    fails: Literal["group", "first"] = "group"

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        both = sorted(self.measures.keys() & set(self.group_by))
        if both:
            told = f"{both[0]!r} is both a measure and a field of group_by"
            raise MisfitError(told, "measures", both[0], expected="another name")
        return self


class HistoryCheck(Strict):
    """A condition on each record and the one with the same `key` in the previous extract of the same report.

    Beside the record's fields it reads `previous_<field>` (null where there is no such record), and `previous_exists`:
    null where there is no previous extract. Example: `price == previous_price or action == 'CORR'`.
    """

    kind: Literal["history"] = "history"
    key: tuple[Name, ...] = Field(min_length=1, max_length=20)
    condition: ExpressionText
    on_unknown: Literal["fail", "pass"] = "pass"


class SqlCheck(Strict):
    """A query of the failing records: one SELECT that gives their `_ordinal`.

    It reads `records` (the typed fields and `_ordinal`), `previous` (the previous extract of the same report, empty
    where there is none), `run` (one row: `business_date`, `as_of`) and the rule's mappings by alias (`key` and their columns, as valid on the business date). `docs/expressions.md` has the rest.
    """

    kind: Literal["sql"] = "sql"
    sql: SqlText


Check = Annotated[
    ExpressionCheck | UniqueCheck | ReferenceCheck | SequenceCheck | AggregateCheck | HistoryCheck | SqlCheck,
    Field(discriminator="kind"),
]


def reads_previous(check: Check) -> bool:
    """Say whether a check reads the previous extract; of a query the word alone counts."""
    if isinstance(check, AggregateCheck):
        return any(measure.of == "previous" for measure in check.measures.values())
    return isinstance(check, SqlCheck) and "previous" in check.sql.lower()


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
    as_of: Instant | None = None

    @model_validator(mode="after")
    def _places_exist(self) -> Self:
        for number, place in enumerate(self.failing):
            if not 1 <= place <= len(self.records):
                told = f"failing names a record that is not there; there are {len(self.records)}"
                raise MisfitError(told, "failing", number, expected=f"a place from 1 to {len(self.records)}")
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

    @property
    def scope(self) -> Scope:
        """What the check has to see: one record, the whole dataset, or the previous extract too."""
        check = self.check
        if isinstance(check, ExpressionCheck | ReferenceCheck):
            return "record"
        if isinstance(check, HistoryCheck) or reads_previous(check):
            return "history"
        return "dataset"

    @model_validator(mode="after")
    def _looks_back_at_sources(self) -> Self:
        if self.scope == "history" and self.phase != "input":
            told = "a rule that reads the previous extract belongs to the input phase"
            raise MisfitError(told, "phase", expected="input")
        return self

    @model_validator(mode="after")
    def _fix_goes_with_correctable(self) -> Self:
        if (self.severity == "correctable") != (self.fix is not None):
            told = "a correctable rule declares a fix, and only a correctable one"
            raise MisfitError(told, "fix", expected="nothing" if self.fix else "a field and an expression")
        if self.severity == "correctable" and self.check.kind != "expression":
            raise MisfitError("only expression rules can be correctable", "check", "kind", expected="expression")
        if self.severity == "correctable" and self.phase != "input":
            raise MisfitError("a correctable rule belongs to the input phase", "phase", expected="input")
        return self

    @model_validator(mode="after")
    def _query_tables_differ(self) -> Self:
        taken = sorted({"records", "run", "previous"} & self.mappings.keys())
        if isinstance(self.check, SqlCheck) and taken:
            told = f"a query has a table named {taken[0]!r} already; give the mapping another alias"
            raise MisfitError(told, "mappings", taken[0], expected="another alias")
        return self

    @model_validator(mode="after")
    def _alias_is_declared(self) -> Self:
        if isinstance(self.check, ReferenceCheck) and self.check.mapping not in self.mappings:
            told = f"check.mapping names {self.check.mapping!r}, which `mappings` does not declare"
            near = nearest_name(self.check.mapping, self.mappings)
            raise MisfitError(told, "check", "mapping", expected="an alias in mappings", nearest=near)
        return self
