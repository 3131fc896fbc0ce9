"""From what was counted in a run to its measurements. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from fractions import Fraction
from uuid import UUID

from libs.common.vocabulary.base import Strict
from libs.common.vocabulary.indicators import Metric

MILLION = 1_000_000
"""Values are kept as whole millionths: of all records for a rate, of a second for a lateness."""


class RuleFailures(Strict):
    """How many records a rule did not pass."""

    id: str
    name: str
    failed: int


class FieldCounts(Strict):
    """In how many records a field has a value (no null, no empty text), and how many failed a check that names it."""

    name: str
    given: int
    failed: int = 0


class PhaseCounts(Strict):
    """What one validation counted: records, those with a warning, those corrected, by rule and by field."""

    rows: int
    warned: int
    corrected: int
    rules: tuple[RuleFailures, ...] = ()
    fields: tuple[FieldCounts, ...] = ()


@dataclass(frozen=True, slots=True)
class Ending:
    """A run's end: its records, and when it was due, if a schedule said so."""

    run_id: UUID
    report_id: UUID
    business_date: date
    records_in: int | None
    records_held: int | None
    ended_at: datetime
    due_at: datetime | None
    out: bool
    """Whether the report went out, wholly or in part: only then is it on time or late."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One value of one run: `numerator / denominator`, exactly. `phase` is empty for what is of the whole run."""

    metric: Metric
    phase: str
    subject: str
    name: str
    numerator: int
    denominator: int

    @property
    def value(self) -> Fraction:
        """The value itself: a rate, or seconds."""
        return Fraction(self.numerator, self.denominator)


def millionths(value: Fraction) -> int:
    """Return a value in whole millionths, halves to even."""
    return round(value * MILLION)


def measurements(ending: Ending, phases: Mapping[str, PhaseCounts]) -> list[Measurement]:
    """Return all measurements of a run; a rate over no records is none."""
    found = [*_of_run(ending)]
    for phase, counts in sorted(phases.items()):
        found += _of_phase(phase, counts)
    return [one for one in found if one.denominator > 0]


def _of_run(ending: Ending) -> Iterator[Measurement]:
    if ending.records_in is not None and ending.records_held is not None:
        yield Measurement("error_rate", "", "", "", ending.records_held, ending.records_in)
    if ending.due_at is not None and ending.out:
        late = max(0, int((ending.ended_at - ending.due_at).total_seconds()))
        yield Measurement("lateness", "", "", "", late, 1)


def _of_phase(phase: str, counts: PhaseCounts) -> Iterator[Measurement]:
    rows = counts.rows
    yield Measurement("warning_rate", phase, "", "", counts.warned, rows)
    if phase == "input":  # correctable rules belong to it
        yield Measurement("correction_rate", phase, "", "", counts.corrected, rows)
    for rule in counts.rules:
        yield Measurement("rule_failure_rate", phase, rule.id, rule.name, rule.failed, rows)
    for field in counts.fields:
        yield Measurement("field_completeness", phase, field.name, field.name, field.given, rows)
        yield Measurement("field_failure_rate", phase, field.name, field.name, field.failed, rows)
