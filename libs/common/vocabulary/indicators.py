"""What is measured of every run, and from where on that is too much."""

from decimal import Decimal
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import Field, model_validator

from libs.common.misfits import MisfitError
from libs.common.vocabulary.base import Strict

Metric = Literal[
    "error_rate",
    "warning_rate",
    "correction_rate",
    "rule_failure_rate",
    "field_completeness",
    "field_failure_rate",
    "lateness",
]
State = Literal["ok", "warning", "critical"]

Level = Annotated[Decimal, Field(ge=0, le=100_000_000, decimal_places=6, allow_inf_nan=False)]
"""A rate (1 is all records) or a lateness in seconds; six places are kept."""

_OF_FIELDS = ("field_completeness", "field_failure_rate")


class ThresholdSpec(Strict):
    """From where on a metric is a warning, or critical: strictly above, or below, the level.

    Without `report_id` it holds for every report, without `subject` for every rule or field; the most specific one
    counts. `subject` is a rule's id for `rule_failure_rate`, a field's name for the metrics of fields. A state is left
    again only after `recover_after` runs in a row that are better by at least `margin`. Runs with fewer than
    `minimum_sample` records change no state.
    """

    metric: Metric
    report_id: UUID | None = None
    subject: str = Field(default="", max_length=63)
    direction: Literal["above", "below"] = "above"
    warning: Level | None = None
    critical: Level | None = None
    minimum_sample: int = Field(default=1, ge=1, le=1_000_000_000_000)
    recover_after: int = Field(default=2, ge=1, le=100)
    margin: Level = Decimal(0)

    @model_validator(mode="after")
    def _levels_fit(self) -> Self:
        levels = [level for level in (self.warning, self.critical) if level is not None]
        if not levels:
            raise MisfitError("give warning, critical or both", "warning", expected="a level")
        ordered = sorted(levels, reverse=self.direction == "below")
        if ordered != levels:
            wanted = f"{'at least' if self.direction == 'above' else 'at most'} {self.warning}"
            raise MisfitError("critical must not be reached before warning", "critical", expected=wanted)
        if self.metric == "lateness":
            if self.minimum_sample > 1:
                told = "minimum_sample counts records; a lateness is of the whole run"
                raise MisfitError(told, "minimum_sample", expected="1")
        elif max(levels) > 1 or self.margin > 1:
            raise ValueError("a rate is at most 1")
        return self

    @model_validator(mode="after")
    def _subject_fits(self) -> Self:
        if self.subject and self.metric == "rule_failure_rate":
            try:
                UUID(self.subject)
            except ValueError:
                raise MisfitError("subject is the id of a rule here", "subject", expected="a UUID") from None
        elif self.subject and self.metric not in _OF_FIELDS:
            told = f"{self.metric} is of the whole report: it has no subject"
            raise MisfitError(told, "subject", expected="nothing")
        return self
