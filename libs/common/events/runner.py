from datetime import date, datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from libs.common.events.envelope import Data

RunKind = Literal["report", "sample", "backtest", "correction"]
"""What a run is for: a report, a few records to look at, a change tried on past data, some records of a run again."""


class ObjectReference(Data):
    """Sealed content in the object store."""

    key: str
    sha256: str
    size: int


class VersionReference(Data):
    """A sealed definition version."""

    kind: str
    id: UUID
    number: int
    key: str
    sha256: str


class RunCreated(Data):
    """A run of one report version for one business date, with all versions pinned that it will use."""

    run_id: UUID
    report_id: UUID
    report_version: int
    business_date: date
    as_of: datetime
    trigger: Literal["manual", "schedule", "rerun", "correction"]
    parent_id: UUID | None = None
    kind: RunKind = "report"
    schedule_id: UUID | None = None
    nominal_time: datetime | None = None
    pins: tuple[VersionReference, ...] = ()


class RunChanged(Data):
    """A run went from one state to another."""

    run_id: UUID
    report_id: UUID
    before: str
    after: str
    kind: RunKind = "report"
    reason: str = ""
    schedule_id: UUID | None = None
    nominal_time: datetime | None = None


class RunEnded(Data):
    """A run is over: what went out, what did not, and why.

    Of a correction also: the run that it corrects, whether anything was delivered (or nothing was to be), and the sealed
    list of its records that did not go out, if there are any. Of a report that failed also: the phases that were to be
    judged and of which it took no verdict, told or not (`unjudged`).
    """

    run_id: UUID
    report_id: UUID
    business_date: date
    before: str
    after: str
    kind: RunKind = "report"
    records_in: int | None = None
    records_out: int | None = None
    records_held: int | None = None
    code: str = ""
    reason: str = ""
    schedule_id: UUID | None = None
    nominal_time: datetime | None = None
    parent_id: UUID | None = None
    delivered: bool | None = None
    not_out: ObjectReference | None = None
    unjudged: tuple[Literal["input", "output"], ...] = ()


class StepSealed(Data):
    """A step ended with an output that cannot change unnoticed, and a balance."""

    run_id: UUID
    step: str
    attempt: int
    output: ObjectReference | None = None
    balance: dict[str, int] = Field(default_factory=dict)
    seconds: float
    reused_from: UUID | None = None


class StepFailed(Data):
    """A step did not end well."""

    run_id: UUID
    step: str
    attempt: int
    code: str
    message: str


class Grant(Data):
    """Which objects the validator may read and where it may write for one job, signed by the runner.

    `signature` is Ed25519 (base64) by the runner's bus key over the canonical JSON of the other fields and the run's
    tenant, run and phase; see `libs.common.identity.grants`.
    """

    reads: tuple[ObjectReference, ...]
    writes: str
    expires: datetime
    signature: str


class ValidationRequested(Data):
    """The validator shall judge a dataset.

    On the run's first request it resolves the rules in force on the business date and keeps the set under the run id;
    `rules_of` names another run whose set is to be used (a rerun's parent). `business_key` names the source fields of
    the key in the input phase; the output phase's dataset carries `_key`. What a backtest judges is judged only: no
    exception is opened and no indicator counts it. `drafts` are used in place of the versions in force. `column_types` are
    the dataset's, DuckDB types by name, where its writer knows them; nobody takes them on trust. Of an output also: how its
    rows came of records, which `origins` names where a row is not a record (`_row`, `_first`), and the failures of the
    records that the transform `held`, which are in no row. Of a backtest `judged_at` says when the past run was judged: it
    is judged with the amendments and waivers that were in force then, so that only the draft makes a difference.
    """

    run_id: UUID
    request_id: UUID
    phase: Literal["input", "output"]
    report_id: UUID
    business_date: date
    as_of: datetime
    schema_version: VersionReference
    rules: tuple[UUID, ...]
    rules_of: UUID | None = None
    business_key: tuple[str, ...]
    dataset: ObjectReference
    rows: int
    grant: Grant
    previous: ObjectReference | None = None
    kind: RunKind = "report"
    drafts: tuple[VersionReference, ...] = ()
    column_types: dict[str, str] = Field(default_factory=dict)
    yields: Literal["one_to_one", "one_to_many", "aggregate"] = "one_to_one"
    origins: ObjectReference | None = None
    held: ObjectReference | None = None
    judged_at: datetime | None = None


class TransformRequested(Data):
    """The validator shall run a report's own SQL or Python over records.

    `report` is the version that holds the code, `code_sha256` the hash of its text. The dataset has the source schema's
    fields, typed and corrected, with `_ordinal` and `_key`; held records are not in it.
    """

    run_id: UUID
    request_id: UUID
    report_id: UUID
    business_date: date
    as_of: datetime
    kind: Literal["sql", "python"]
    code_sha256: str
    report: VersionReference
    source_schema: VersionReference
    target_schema: VersionReference
    mappings: tuple[VersionReference, ...] = ()
    dataset: ObjectReference
    rows: int
    grant: Grant


class ArtifactRendered(Data):
    """A file is ready for delivery."""

    run_id: UUID
    artifact_id: UUID
    name: str
    format: str
    output: ObjectReference
    records: int


class ArtifactDownloaded(Data):
    """Somebody fetched an artifact or a step's dataset."""

    run_id: UUID
    artifact_id: UUID
    name: str


class DeliveryEnded(Data):
    """An artifact reached a destination, or did not."""

    run_id: UUID
    delivery_id: UUID
    artifact_id: UUID
    destination_id: UUID
    receipt: dict[str, Any] = Field(default_factory=dict)
    reason: str = ""


class ExtractGranted(Data):
    """The validator may read a run's sealed records for a try: the extract, or in the output phase what is to go out."""

    try_id: UUID
    run_id: UUID
    phase: Literal["input", "output"]
    business_date: date
    as_of: datetime
    schema_version: VersionReference
    business_key: tuple[str, ...]
    dataset: ObjectReference
    rows: int
    grant: Grant


class ExtractRefused(Data):
    """A run's records cannot be had for a try."""

    try_id: UUID
    run_id: UUID
    code: str
    message: str


class BacktestCreated(Data):
    """Past runs are replayed with a draft in place of what was published; `proposal_id` names who waits for it."""

    backtest_id: UUID
    draft: VersionReference
    proposal_id: UUID | None = None
    runs: int


class BacktestCompleted(Data):
    """All runs of a backtest have ended, `failed` of them without a result; `counts` sums what the others found."""

    backtest_id: UUID
    draft: VersionReference
    proposal_id: UUID | None = None
    runs: int
    failed: int
    counts: dict[str, Any] = Field(default_factory=dict)


EVENTS: dict[str, type[Data]] = {
    "run.created": RunCreated,
    "run.waiting": RunChanged,
    "run.queued": RunChanged,
    "run.started": RunChanged,
    "run.validating": RunChanged,
    "run.transforming": RunChanged,
    "run.succeeded": RunEnded,
    "run.partial": RunEnded,
    "run.failed": RunEnded,
    "run.cancelled": RunEnded,
    "step.sealed": StepSealed,
    "step.failed": StepFailed,
    "extract.granted": ExtractGranted,
    "extract.refused": ExtractRefused,
    "backtest.created": BacktestCreated,
    "backtest.completed": BacktestCompleted,
    "validation.requested": ValidationRequested,
    "transform.requested": TransformRequested,
    "artifact.rendered": ArtifactRendered,
    "artifact.downloaded": ArtifactDownloaded,
    "delivery.succeeded": DeliveryEnded,
    "delivery.failed": DeliveryEnded,
}
