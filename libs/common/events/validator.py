from datetime import date
from typing import Any, Literal
from uuid import UUID

from libs.common.events.definitions import definition_events
from libs.common.events.envelope import Data
from libs.common.events.exceptions import EXCEPTION_EVENTS
from libs.common.events.jail import CodeLine, JailKilled, JailRefused
from libs.common.events.runner import ObjectReference, VersionReference
from libs.common.vocabulary.indicators import Metric, State


class RuleCount(Data):
    """One rule's verdicts. Implied schema checks have ids like `schema:price:type`.

    `waived` are those of its failures that somebody accepted: they hold nothing.
    """

    rule_id: str
    rule_version: int
    name: str
    severity: Literal["blocking", "warning", "correctable"]
    rows: int
    passed: int
    failed: int
    unknown: int
    errors: int
    waived: int = 0
    seconds: float | None = None


class ValidationCompleted(Data):
    """A dataset was judged. `failures` and `corrections` are sealed Parquet; none where there are none.

    `held` counts the distinct records with a blocking failure. `rules` is the set that this run keeps.
    """

    run_id: UUID
    request_id: UUID
    phase: Literal["input", "output"]
    rules: tuple[VersionReference, ...]
    mappings: tuple[VersionReference, ...] = ()
    counts: tuple[RuleCount, ...]
    rows: int
    held: int
    warned: int
    corrected: int
    waived: int = 0
    failures: ObjectReference | None = None
    corrections: ObjectReference | None = None
    seconds: float


class ValidationFailed(Data):
    """A dataset could not be judged: a rule erred, or the job was stopped."""

    run_id: UUID
    request_id: UUID
    phase: Literal["input", "output"]
    code: str
    message: str


class IndicatorChanged(Data):
    """An indicator of a report got worse, or better; its value is `numerator / denominator`, exactly.

    `phase` and `subject` (a rule's id or a field) are empty where it is of the whole run or report. `threshold` is what
    it was judged by.
    """

    indicator_id: UUID
    report_id: UUID
    run_id: UUID
    business_date: date
    metric: Metric
    phase: Literal["", "input", "output"] = ""
    subject: str = ""
    name: str = ""
    before: State
    after: State
    numerator: int
    denominator: int
    threshold_id: UUID | None = None
    threshold: Any = None


class ThresholdChanged(Data):
    """A threshold of indicators came to be, changed or was deleted."""

    threshold_id: UUID
    before: Any = None
    after: Any = None


class TryAsked(Data):
    """Rules shall be tried on a run's sealed records; the runner is asked for them."""

    try_id: UUID
    run_id: UUID
    phase: Literal["input", "output"]


class TryEnded(Data):
    """Rules were tried on a run's records, or could not be."""

    try_id: UUID
    run_id: UUID
    status: Literal["completed", "failed"]
    code: str = ""


class TransformCompleted(Data):
    """A report's own code made rows of a run's records.

    `output` holds the rows, `trace` which records stand behind each (not where that is one to one), `drops` the records
    that were dropped and why. `used` records stand behind the `rows`. `log` is what the code said, `log_excerpt` 64 KiB
    of it at most.
    """

    run_id: UUID
    request_id: UUID
    kind: Literal["sql", "python"]
    code_sha256: str
    yields: Literal["one_to_one", "one_to_many", "aggregate"]
    rows: int
    used: int
    dropped: int
    output: ObjectReference
    trace: ObjectReference | None = None
    drops: ObjectReference | None = None
    log: ObjectReference | None = None
    log_excerpt: str = ""
    code_seconds: float
    gate_seconds: float
    seconds: float
    cpu_seconds: float | None = None
    peak_bytes: int | None = None


class TransformFailed(Data):
    """A report's own code gave no rows that may be used: it failed, was stopped, or its rows do not fit."""

    run_id: UUID
    request_id: UUID
    kind: Literal["sql", "python"]
    code_sha256: str
    code: str
    message: str
    lines: tuple[CodeLine, ...] = ()
    log: ObjectReference | None = None
    log_excerpt: str = ""
    seconds: float | None = None
    cpu_seconds: float | None = None
    peak_bytes: int | None = None


class TransformProgressed(Data):
    """A report's own code has got so far: records that it took, rows that it gave."""

    run_id: UUID
    request_id: UUID
    records: int
    rows: int


EVENTS: dict[str, type[Data]] = {
    **definition_events("rule"),
    **EXCEPTION_EVENTS,
    "try.asked": TryAsked,
    "try.ended": TryEnded,
    "validation.completed": ValidationCompleted,
    "validation.failed": ValidationFailed,
    "transform.completed": TransformCompleted,
    "transform.failed": TransformFailed,
    "transform.progressed": TransformProgressed,
    "jail.refused": JailRefused,
    "jail.killed": JailKilled,
    "indicator.alerted": IndicatorChanged,
    "indicator.recovered": IndicatorChanged,
    "indicator_threshold.created": ThresholdChanged,
    "indicator_threshold.updated": ThresholdChanged,
    "indicator_threshold.deleted": ThresholdChanged,
}
