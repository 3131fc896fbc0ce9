"""What the validator says of the exception queue: what opens in it, and what people decide of it."""

from datetime import date
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from libs.common.events.envelope import Data
from libs.common.events.runner import ObjectReference


class ExceptionsOpened(Data):
    """Records of a run wait in the exception queue."""

    run_id: UUID
    report_id: UUID
    phase: Literal["input", "output"]
    records: int
    by_rule: dict[str, int]


class ExceptionsVoided(Data):
    """Exceptions of a run closed by themselves: what opened them came to no verdict, or the run was cancelled.

    `records` is how many they were. Of a correction run they are what it found itself.
    """

    run_id: UUID
    report_id: UUID
    phase: Literal["input", "output"]
    records: int
    reason: str


class ExceptionChanged(Data):
    """Somebody did something to an exception, or a correction run did; `before` and `after` are what changed of it."""

    exception_id: UUID
    run_id: UUID
    report_id: UUID
    rule_id: str
    key: str
    before: dict[str, Any]
    after: dict[str, Any]
    comment: str = ""


class ExceptionsChanged(Data):
    """Somebody did something to many exceptions at once, chosen by a filter.

    `ids` are they, in order, or the first of them where `listed` names the sealed list of all (JSON).
    """

    action: Literal["assign", "amend", "waive", "approve", "resubmit"]
    filter: dict[str, Any]
    count: int
    ids: tuple[UUID, ...]
    listed: ObjectReference | None = None
    after: dict[str, Any] = Field(default_factory=dict)
    comment: str = ""


class DecisionChanged(Data):
    """An amendment or a waiver came to be, came into force or ended; `changes` is field → old and new value.

    `before` is empty for a new one.
    """

    decision_id: UUID
    kind: Literal["amendment", "waiver"]
    report_id: UUID
    exception_id: UUID
    key: str
    rule_id: str
    changes: dict[str, Any]
    expires_on: date | None = None
    reason: str
    before: str
    after: str
    note: str = ""


class ResubmissionRequested(Data):
    """Records of a run shall be sent again, in the run `correction_run_id`.

    `ordinals` is sealed Parquet: their places in the run's sealed extract, ascending, in the column `_ordinal`.
    """

    resubmission_id: UUID
    run_id: UUID
    correction_run_id: UUID
    report_id: UUID
    business_date: date
    records: int
    versions: Literal["pinned", "latest"]
    ordinals: ObjectReference


class ResubmissionEnded(Data):
    """Records were sent again: how many exceptions closed and how many are open again; the first of both by id."""

    resubmission_id: UUID
    run_id: UUID
    correction_run_id: UUID
    run_status: str
    closed: int
    reopened: int
    closed_ids: tuple[UUID, ...] = ()
    reopened_ids: tuple[UUID, ...] = ()


class ExceptionPolicyChanged(Data):
    """A tenant chose how its exceptions are to be handled."""

    before: dict[str, Any]
    after: dict[str, Any]


EXCEPTION_EVENTS: dict[str, type[Data]] = {
    "exception.opened": ExceptionsOpened,
    "exception.voided": ExceptionsVoided,
    "exception.assigned": ExceptionChanged,
    "exception.commented": ExceptionChanged,
    "exception.amended": ExceptionChanged,
    "exception.waived": ExceptionChanged,
    "exception.reopened": ExceptionChanged,
    "exception.changed_together": ExceptionsChanged,
    "amendment.proposed": DecisionChanged,
    "amendment.activated": DecisionChanged,
    "amendment.withdrawn": DecisionChanged,
    "amendment.retired": DecisionChanged,
    "amendment.conflicted": DecisionChanged,
    "waiver.proposed": DecisionChanged,
    "waiver.activated": DecisionChanged,
    "waiver.withdrawn": DecisionChanged,
    "waiver.expired": DecisionChanged,
    "resubmission.requested": ResubmissionRequested,
    "resubmission.ended": ResubmissionEnded,
    "exception_policy.changed": ExceptionPolicyChanged,
}
