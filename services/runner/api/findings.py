"""What the routes of backtests and of the record question answer, as the API's document shows it."""

from datetime import date, datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from libs.common.definitions.answers import Answer
from libs.common.vocabulary.policies import Replayed
from libs.common.vocabulary.rules import Severity
from services.runner.domain.comparing import Difference
from services.runner.domain.states import Status
from services.runner.domain.steps import Step
from services.runner.records.composing import Disposition


class BacktestCounts(Answer):
    """What a backtest found over all its runs; nothing of it is there while it runs.

    Each difference counts the records that have it, `by_rule` failures and `by_field` changed values.
    """

    records: int = 0
    newly_failing: int = 0
    newly_passing: int = 0
    changed: int = 0
    no_longer_out: int = 0
    newly_out: int = 0
    by_rule: dict[str, dict[Difference, int]] = Field(default_factory=dict)
    by_field: dict[str, int] = Field(default_factory=dict)


class Backtest(Answer):
    """A draft that is tried on past runs."""

    id: UUID
    kind: Replayed
    definition_id: UUID
    name: str
    sha256: str = Field(description="of the draft")
    proposal_id: UUID | None = Field(description="the proposal that waits for it")
    report_id: UUID | None = Field(description="where runs of one report were asked for")
    last: int = Field(description="how many past runs were asked for")
    runs: int = Field(description="how many are replayed")
    failed: int = Field(description="how many of these came to no result")
    status: Literal["running", "completed"]
    counts: BacktestCounts
    created_by: str
    created_at: datetime
    ended_at: datetime | None


class _Differing(Answer):
    difference: Difference
    key: str
    phase: Literal["input", "transform", "output"] | None = Field(description="where it fails or failed a rule")
    rule_id: str | None
    severity: Severity | Literal["waived"] | None
    outcome: str | None = Field(description="`fail` or `unknown`")
    message: str | None
    field: str | None = Field(description="the field with another value")
    before: str | None = Field(description="as text")
    after: str | None = Field(description="as text")


class DifferenceSample(_Differing):
    """One of the first of a replay's differences."""

    ordinal: int = Field(alias="_ordinal", description="the record's place in what the run read, 1 is the first")


class BacktestDifference(_Differing):
    """What is different of a record in a replay."""

    run_id: UUID = Field(description="the replay")
    ordinal: int = Field(description="the record's place in what the run read, 1 is the first")


class Replay(Answer):
    """A past run that is replayed; what it found is null until it has."""

    id: UUID
    parent_id: UUID = Field(description="the past run")
    report_id: UUID
    report_name: str
    business_date: date
    status: Status
    step: Step | Literal[""]
    code: str
    reason: str
    records: int | None = Field(description="records that came out before or come out now")
    counts: dict[Difference, int] | None = Field(description="records by difference")
    by_rule: dict[str, dict[Difference, int]] | None
    by_field: dict[str, int] | None
    samples: list[DifferenceSample] | None = Field(description="the first of each difference")


class ShownBacktest(Backtest):
    """A backtest with its runs."""

    replays: list[Replay]


class DecidingRun(Answer):
    """The run that decided what became of a record."""

    id: UUID
    status: Status
    href: str


class NewestRun(Answer):
    """The newest run of the report for the date."""

    id: UUID
    status: Status
    reason: str


class RecordReason(Answer):
    """Why a record did not go out: of a rule, or, with nulls, of the report's selection or code."""

    rule_id: str | None
    rule_version: int | None
    outcome: str | None = Field(description="`fail` or `unknown`")
    message: str | None
    fields: dict[str, str | None] | None
    exceptions: str | None = Field(description="the path of its exceptions")
    rule: str | None = Field(description="the path of the rule")


class RecordCorrection(Answer):
    """A value that a rule or an amendment replaced."""

    field: str
    old_value: str | None
    new_value: str | None
    rule_id: str
    href: str


class WaivedFailure(Answer):
    """A failure that somebody accepted."""

    rule_id: str
    rule_version: int
    message: str


class RecordEntry(Answer):
    """What became of one record."""

    ordinal: int = Field(description="its place in what the run read, 1 is the first")
    run_id: UUID
    disposition: Disposition
    step: Step
    reasons: list[RecordReason]
    corrections: list[RecordCorrection]
    waived: list[WaivedFailure]
    rows: list[int] = Field(
        default_factory=list, description="only where code made rows of records: those that it is in"
    )
    merged_into: int | None = Field(default=None, description="only of a merged one: the record whose row it is in")


class RecordDelivery(Answer):
    """Where the record's artifact went."""

    destination_id: UUID
    artifact_id: UUID
    status: Literal["pending", "succeeded", "failed"]
    receipt: dict[str, Any]
    reason: str
    ended_at: datetime | None


class RecordAnswer(Answer):
    """What became of the records of a business key."""

    report_id: UUID
    business_date: date
    key: str
    run: DecidingRun
    newest_run: NewestRun
    corrections: list[UUID] = Field(description="the correction runs that decided of them since")
    extracted: bool
    disposition: Disposition | Literal["never extracted", "several"]
    records: list[RecordEntry]
    deliveries: list[RecordDelivery]
