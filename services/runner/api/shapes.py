"""What the runner's routes answer, as the API's document shows it; tests hold every answer that they receive against it."""

from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, create_model

from libs.common.definitions.answers import Answer
from libs.common.events.runner import RunKind
from libs.common.events.validator import RuleCount, TransformCompleted, TransformFailed
from libs.common.vocabulary.policies import Replayed
from libs.common.vocabulary.rules import Phase, Severity
from services.runner.commands.creation import Trigger
from services.runner.domain.comparing import Difference
from services.runner.domain.states import Status
from services.runner.domain.steps import Step
from services.runner.records.composing import Disposition

HIDDEN_OF_CODE = ("run_id", "request_id", "output", "trace", "drops", "log")
"""What is kept of the end of a report's own code and not shown: what names the run, and sealed files."""


class RunSummary(Answer):
    """A run as lists show it."""

    id: UUID
    kind: RunKind
    report_id: UUID
    report_name: str = Field(description="empty until the versions are known")
    report_version: int | None = Field(description="null until the versions are known")
    business_date: date
    status: Status
    step: Step | Literal[""] = Field(description="the step that it is at, or stopped at; empty where there is none")
    code: str = Field(description="of what ended it, empty where nothing went wrong")
    reason: str = Field(description="why it ended as it did, in words")
    trigger: Trigger
    parent_id: UUID | None = Field(description="the run that it repeats, corrects or replays")
    records_in: int | None = Field(description="records that were read; null until its end")
    records_out: int | None
    records_held: int | None = Field(description="records that blocking rules held")
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


class PinnedVersion(Answer):
    """A version that a run uses, by reference; the hash is of its content."""

    kind: str
    id: UUID
    number: int
    key: str
    sha256: str


class Run(RunSummary):
    """A run, and all that it was made from."""

    as_of: datetime = Field(description="the moment that expressions take as now")
    row_limit: int | None = Field(description="records of a sample at most")
    rules_of: UUID | None = Field(description="the run whose rules it uses")
    schedule_id: UUID | None
    nominal_time: datetime | None = Field(description="when its schedule had it due")
    calendar_id: UUID | None
    calendar_version: int | None
    cancel_asked: bool
    created_by: str = Field(description="`user:<id>`, `client:<id>` or `service:<name>`")
    pins: list[PinnedVersion] = Field(description="the report's version first")


class SealedObject(Answer):
    """Content that cannot change unnoticed; `size` in bytes."""

    key: str
    sha256: str
    size: int


class RunStep(Answer):
    """A step that ended."""

    step: Step
    status: Literal["sealed", "skipped", "failed"]
    attempt: int
    started_at: datetime
    ended_at: datetime
    outputs: dict[str, SealedObject] = Field(description="by name")
    code: str
    message: str
    reused_from: UUID | None = Field(description="the run that made what it took over")
    seconds: float


class StepBalance(Answer):
    """What became of a step's records: those in and created are all out, or dropped in one of the ways."""

    step: Step
    records_in: int
    created: int
    records_out: int
    held: int
    rejected: int
    filtered: int
    duplicate: int
    merged: int


class RunLedger(Answer):
    """What became of a run's records, step by step."""

    run_id: UUID
    steps: list[StepBalance]


class RunRuleCount(RuleCount):
    """What came of one rule in one phase; `schema:` begins what the schema implies, `seconds` is what judging it took."""

    model_config = ConfigDict(extra="forbid")

    phase: Phase


class TransformAsked(Answer):
    """The report's own code has not ended."""

    status: Literal["requested"]
    requested_at: datetime
    ended_at: None


class _Ended(Answer):
    requested_at: datetime
    ended_at: datetime


def _told(name: str, event: type[BaseModel], status: Any, meaning: str) -> type[BaseModel]:
    """Return the model of what is shown of an event's data, which was kept as it came."""
    shown: Any = {
        field: (each.annotation, each) for field, each in event.model_fields.items() if field not in HIDDEN_OF_CODE
    }
    return create_model(name, __base__=_Ended, status=(status, ...), **shown, __doc__=meaning)


_Made = Literal["completed"]
_Stopped = Literal["failed"]
TransformMade: Any = _told(
    "TransformMade", TransformCompleted, _Made, "What the report's own code made of the records."
)
TransformStopped: Any = _told("TransformStopped", TransformFailed, _Stopped, "What stopped the report's own code.")
CodeOutcome = Annotated[TransformAsked | TransformMade | TransformStopped, Field(discriminator="status")]


class Artifact(Answer):
    """A file that a run made."""

    id: UUID
    run_id: UUID
    name: str
    format: str = Field(description="as its report's output says: csv, parquet, json, ndjson or xml")
    sha256: str
    size: int = Field(description="bytes")
    records: int
    created_at: datetime
    content: str = Field(description="the path of its bytes")


class Delivery(Answer):
    """An artifact on its way to a destination."""

    id: UUID
    artifact_id: UUID
    destination_id: UUID
    status: Literal["pending", "succeeded", "failed"]
    receipt: dict[str, Any] = Field(description="what the destination says of it; empty until it has arrived")
    code: str
    reason: str
    created_at: datetime
    ended_at: datetime | None


class ShownRun(Run):
    """A run with all that belongs to it."""

    steps: list[RunStep] = Field(description="those that ended, in their order")
    ledger: list[StepBalance]
    rules: list[RunRuleCount]
    transform: CodeOutcome | None = Field(description="null where the report has no code, or it is not its turn yet")
    artifacts: list[Artifact]
    deliveries: list[Delivery]
    reruns: list[UUID] = Field(description="its repetitions and corrections, the oldest first")


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
