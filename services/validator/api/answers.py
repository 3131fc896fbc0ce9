"""What the routes of the exception queue and of indicators answer, as the API's document shows it.

Tests hold every answer that they receive against these.
"""

from datetime import date, datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from libs.common.definitions.answers import Answer
from libs.common.vocabulary.indicators import Metric, State, ThresholdSpec
from libs.common.vocabulary.rules import Phase
from services.validator.exceptions import changing, decisions, resubmitting
from services.validator.exceptions.states import Outcome, Resolution, Status

_ACTOR = "`user:<id>`, `client:<id>` or `service:<name>`"
_PLACE = "the record's place in what the run read, 1 is the first"
_FIELDS = "the values that the rule refused, by field, as text"


class ShownException(Answer):
    """A record that failed a blocking rule, and what became of it."""

    id: UUID
    run_id: UUID
    report_id: UUID
    business_date: date
    phase: Phase
    ordinal: int = Field(description=_PLACE)
    key: str = Field(description="the record's business key")
    rule_id: str = Field(description="a rule's id; `schema:`, `target:` or `amendment:` begins what no rule asks")
    rule_version: int
    rule_name: str
    outcome: Outcome
    fields: dict[str, str | None] = Field(description=_FIELDS)
    message: str
    status: Status
    opened_at: datetime
    revision: int = Field(description="counts every change; the ETag")
    assignee: UUID | None = Field(description="a user's id")
    due_at: datetime | None = Field(description="until when it shall be settled")
    changed_at: datetime | None = Field(description="null before the first change")
    resolution: Resolution | None = Field(description="how it ended; of a closed one only")
    decision_id: UUID | None = Field(description="the amendment or waiver in force that settled it")
    proposal_id: UUID | None = Field(description="the amendment or waiver that waits for a second person")
    resubmission_id: UUID | None = Field(description="the last resubmission of its record")
    cause: UUID | None = Field(description="what exceptions of one rule and the same values share")
    overdue: bool | None = Field(description="null for an open one that has no `due_at`")
    provisional: bool = Field(description="whether its verdict is not told yet")


class ExceptionCounts(Answer):
    """How many exceptions there are, by status."""

    open: int
    amended: int
    waived: int
    resubmitted: int
    closed: int


class ExceptionCause(ExceptionCounts):
    """Exceptions of one rule that refused the same values."""

    cause: UUID
    fields: dict[str, str | None] = Field(description=_FIELDS)


class ExceptionSample(Answer):
    """One exception of a group."""

    id: UUID
    key: str
    ordinal: int = Field(description=_PLACE)
    fields: dict[str, str | None] = Field(description=_FIELDS)
    message: str


class ShownExceptionGroup(ExceptionCounts):
    """The exceptions of one rule in one phase."""

    rule_id: str
    rule_name: str
    rule_version: int = Field(description="the newest that they failed")
    phase: Phase
    records: int = Field(description="all of them, whatever their status")
    provisional: bool = Field(description="whether a verdict is awaited that may add to them")
    oldest: datetime | None = Field(description="when the oldest open one was opened")
    samples: list[ExceptionSample] = Field(description="open ones, or those of the first status that has any")
    causes: list[ExceptionCause] = Field(description="the largest first")


class ExceptionHistoryEntry(Answer):
    """What was done to an exception: the values before and after, of the columns that changed."""

    id: UUID
    at: datetime
    actor: str = Field(description=_ACTOR)
    action: changing.Action
    old: dict[str, Any]
    new: dict[str, Any]
    comment: str


class ShownExceptionPolicy(Answer):
    """How the tenant wants its exceptions handled."""

    second_person: bool = Field(description="whether a second person decides on amendments and waivers")
    due_hours: int = Field(description="hours within which exceptions shall be settled")


class DoneTogether(Answer):
    """What an action on many came to, or would come to in a dry run."""

    matching: int = Field(description="exceptions that the filter means")
    more: bool = Field(description="whether it means more than can be acted upon at once")
    changed: int


class _Decision(Answer):
    id: UUID
    report_id: UUID
    exception_id: UUID = Field(description="the exception that it was made of")
    run_id: UUID
    phase: Phase
    ordinal: int = Field(description=_PLACE)
    key: str = Field(description="the business key of the record that it holds for")
    rule_id: str
    reason: str
    status: decisions.Status
    revision: int = Field(description="counts every change; the ETag")
    proposed_by: str = Field(description=_ACTOR)
    proposed_at: datetime
    approved_by: str | None
    approved_at: datetime | None
    ended_by: str | None
    ended_at: datetime | None
    note: str = Field(description="why it ended")
    last_run_id: UUID | None = Field(description="the last run that it was looked at in")


class AmendedField(Answer):
    """What the source has in a field, and what it shall be; null is no value."""

    old: str | None
    new: str | None


class ShownAmendment(_Decision):
    """Other values for a record's fields."""

    kind: Literal["amendment"]
    changes: dict[str, AmendedField] = Field(description="by field")
    expires_on: None


class ShownWaiver(_Decision):
    """The acceptance of a failure."""

    kind: Literal["waiver"]
    changes: dict[str, AmendedField] = Field(description="empty")
    expires_on: date = Field(description="the last day on which it holds")


class ShownResubmission(Answer):
    """Records that were sent again in a correction run, and what came of it: null until it ended."""

    id: UUID
    run_id: UUID
    report_id: UUID
    business_date: date
    correction_run_id: UUID
    records: int
    versions: resubmitting.Versions
    comment: str
    status: resubmitting.Status
    run_status: str | None = Field(description="the correction run's at its end")
    reported: int | None = Field(description="exceptions that closed")
    reopened: int | None = Field(description="exceptions that are open again")
    requested_by: str = Field(description=_ACTOR)
    requested_at: datetime
    ended_at: datetime | None


class ResubmittedTogether(DoneTogether):
    """What sending many again came to; a dry run has no `resubmission`, and it is null where nothing was meant."""

    resubmission: ShownResubmission | None = None


class Indicator(Answer):
    """A metric of a report as the last run left it; rates are of all records (1), a lateness is in seconds."""

    id: UUID
    report_id: UUID
    metric: Metric
    phase: Phase | Literal[""] = Field(description="empty for what is of the whole run")
    subject: str = Field(description="a rule's id or a field's name; empty for what is of all records")
    name: str = Field(description="of the rule or field")
    state: State
    since: datetime = Field(description="when it came into its state")
    threshold_id: UUID | None = Field(description="the threshold that judged it")
    run_id: UUID = Field(description="the last run")
    business_date: date
    measured_at: datetime
    numerator: int
    denominator: int
    value: float = Field(description="`numerator / denominator`, to six places")
    previous: float | None = Field(description="the value before; null for the first")
    average: float = Field(description="of the last runs")
    slope: float | None = Field(description="the change from run to run; null for the first")
    runs: int = Field(description="how many runs average and slope are of, at most twenty")


class IndicatorValue(Answer):
    """What an indicator was after one run."""

    number: int = Field(description="counts the indicator's values")
    run_id: UUID
    business_date: date
    numerator: int
    denominator: int
    value: float = Field(description="`numerator / denominator`, to six places")
    state: State
    measured_at: datetime


class ShownThresholdSpec(ThresholdSpec):
    """A threshold as it was given; levels and margin are decimals as text."""


class IndicatorThreshold(Answer):
    """From where on a metric is a warning or critical."""

    id: UUID
    spec: ShownThresholdSpec
    revision: int = Field(description="counts every change; the ETag")
    created_at: datetime
    created_by: str = Field(description=_ACTOR)
    changed_at: datetime
