"""What the routes of runs answer, as the API's document shows it; tests hold every answer that they receive against it."""

from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, create_model

from libs.common.definitions.answers import Answer
from libs.common.events.runner import RunKind
from libs.common.events.validator import RuleCount, TransformCompleted, TransformFailed
from libs.common.vocabulary.rules import Phase
from services.runner.commands.creation import Trigger
from services.runner.domain.states import Status
from services.runner.domain.steps import Step

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
