"""Which exceptions are meant: one shape for lists and for actions on many."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator
from sqlalchemy import (
    Column,
    ColumnElement,
    Select,
    Text,
    Uuid,
    any_,
    bindparam,
    false,
    or_,
    select,
    true,
    tuple_,
    union_all,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import TypeEngine

from libs.common.vocabulary.rules import Phase
from services.validator.exceptions.evidence import term_of
from services.validator.exceptions.states import STATUSES, Status
from services.validator.exceptions.tables import decision, exception, term
from services.validator.exceptions.unsealed import Judged

_E, _D = exception.c, decision.c
Plain = Annotated[str, Field(max_length=2000, pattern=r"^[^\x00]*$")]
_HIDDEN = ("tenant_id", "grouped", "evidence", "found_by", "opened_at", "id")


class Filter(BaseModel):
    """Exceptions that meet all that is given. `cause` is one of a group's; `value` is of the field `field`."""

    model_config = ConfigDict(frozen=True)

    status: Status | None = None
    assignee: UUID | None = Field(default=None, description="a user's id")
    unassigned: bool = False
    run_id: UUID | None = Field(default=None, description="a run, or the correction that judged them again")
    report_id: UUID | None = None
    rule_id: Annotated[str, Field(max_length=200, pattern=r"^[^\x00]*$")] | None = None
    phase: Phase | None = None
    business_date: date | None = None
    key: Plain | None = Field(default=None, description="a record's business key")
    cause: UUID | None = Field(default=None, description="`cause` of a group or of another exception")
    field: Annotated[str, Field(max_length=63, pattern=r"^[^\x00]*$")] | None = None
    value: Plain | None = Field(default=None, description="of `field`, as the source has it")
    older_than: timedelta | None = Field(
        default=None, ge=timedelta(0), le=timedelta(days=3660), description="opened longer ago: seconds, or `P2D`"
    )

    @model_validator(mode="after")
    def _value_has_a_field(self) -> "Filter":
        if (self.field is None) != (self.value is None):
            raise ValueError("field and value go together")
        return self

    @property
    def is_narrow(self) -> bool:
        """Whether few exceptions can meet it: then they are sorted, not read in order."""
        return self.key is not None or self.value is not None

    def as_json(self) -> dict[str, Any]:
        """Return what is given."""
        return self.model_dump(mode="json", exclude_defaults=True)


class GivenFilter(Filter):
    """A filter in a body: what it does not know is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks, when; `resubmission` is the one that the filter's run is of, `judging` what is being judged meanwhile.

    The tenant is named though row-level security says the same: only so does the engine see how much the tenant has.
    """

    tenant_id: UUID
    now: datetime
    resubmission: UUID | None = None
    judging: Sequence[Judged] = ()


def conditions(wanted: Filter, asker: Asker) -> list[ColumnElement[bool]]:
    """Return what a filter asks of a row, but for its status."""
    equal: list[tuple[Column[Any], Any]] = [
        (_E.tenant_id, asker.tenant_id),
        (_E.assignee, wanted.assignee),
        (_E.report_id, wanted.report_id),
        (_E.rule_id, wanted.rule_id),
        (_E.phase, wanted.phase),
        (_E.business_date, wanted.business_date),
        (_E.key, wanted.key),
        (_E.evidence, wanted.cause),
        (_E.resubmission_id, asker.resubmission),
    ]
    if asker.resubmission is None:
        equal.append((_E.run_id, wanted.run_id))
    found: list[ColumnElement[bool]] = [column == value for column, value in equal if value is not None]
    if wanted.unassigned:
        found.append(_E.assignee.is_(None))
    if wanted.value is not None:
        return found + _of_term(wanted, asker)
    if wanted.older_than is not None:
        found.append(_E.opened_at <= asker.now - wanted.older_than)
    return found


def _of_term(wanted: Filter, asker: Asker) -> list[ColumnElement[bool]]:
    """Return what a filter by a value asks of the value's index."""
    hashed = term_of(wanted.field or "", wanted.value or "")
    found: list[ColumnElement[bool]] = [term.c.tenant_id == asker.tenant_id, term.c.term == hashed]
    if wanted.older_than is not None:
        found.append(term.c.opened_at <= asker.now - wanted.older_than)
    return found


@dataclass(frozen=True, slots=True)
class Part:
    """The part of a list that is read: behind `position` (when opened, and id), at most so many."""

    most: int
    position: Sequence[Any] = ()
    descending: bool = True

    def of(self, statement: Select[Any], opened_at: Column[Any], id_: Column[Any]) -> Select[Any]:
        """Return a statement that reads this part only, in the order of an index."""
        columns = (opened_at, id_)
        if self.position:
            here, there = tuple_(*columns), tuple_(*self.position)
            statement = statement.where(here < there if self.descending else here > there)
        order = [column.desc() if self.descending else column for column in columns]
        return statement.order_by(*order).limit(self.most)


def listed(wanted: Filter, asker: Asker, part: Part) -> Any:
    """Return the statement of a part of a list.

    Without a status it is the statuses' lists merged: each is read in the order of an index, and no further than the
    part goes. The engine would not see that by itself.
    """
    if wanted.value is not None:
        return _of_value(wanted, asker, part)
    base = select(_E.id, _E.opened_at, *shown_columns(asker)).where(*conditions(wanted, asker))
    if wanted.is_narrow:
        base = base.where(_E.status == wanted.status) if wanted.status else base
        return part.of(base, _E.opened_at, _E.id)
    statuses = [wanted.status] if wanted.status else STATUSES
    parts = [part.of(base.where(_E.status == status), _E.opened_at, _E.id) for status in statuses]
    return parts[0] if len(parts) == 1 else union_all(*parts)


def matching(wanted: Filter, statuses: tuple[str, ...], asker: Asker, most: int) -> Select[Any]:
    """Return the statement that finds the ids of what an action on many is for: those in one of some statuses."""
    chosen = [status for status in statuses if wanted.status in (None, status)]
    statement = select(_E.id).where(*conditions(wanted, asker), _E.status == _any(chosen, Text))
    if wanted.value is not None:
        statement = statement.join(term, (term.c.exception_id == _E.id) & (term.c.tenant_id == _E.tenant_id))
    return statement.limit(most)


def is_proposed(makers: Sequence[str], today: date) -> ColumnElement[bool]:
    """Return whether others than its makers can still approve what is proposed of an exception."""
    nobody = ~(_D.makers.overlap(_values(makers, Text)) | (_D.proposed_by == _any(list(makers), Text)))
    lasting = _D.expires_on.is_(None) | (_D.expires_on >= today)
    mine = (_D.tenant_id == _E.tenant_id, _D.id == _E.proposal_id, _D.status == "proposed")
    return select(_D.id).where(*mine, nobody, lasting).exists()


def held(tenant_id: UUID, ids: Sequence[UUID], columns: Sequence[str], *still: ColumnElement[bool]) -> Select[Any]:
    """Return the statement that locks exceptions, in one order everywhere, if they are still what was looked for."""
    chosen = (_E.tenant_id == tenant_id, _E.id == _any(list(ids), Uuid), *still)
    return select(*(_E[name] for name in columns)).where(*chosen).order_by(_E.id).with_for_update()


def among(statuses: Sequence[str]) -> ColumnElement[bool]:
    """Return whether an exception is in one of some statuses."""
    found: ColumnElement[bool] = _E.status == _any(list(statuses), Text)
    return found


def _any(values: list[Any], kind: type[TypeEngine[Any]]) -> Any:
    return any_(_values(values, kind))


def _values(values: Sequence[Any], kind: type[TypeEngine[Any]]) -> Any:
    return bindparam(None, list(values), type_=ARRAY(kind))


def shown_columns(asker: Asker) -> list[Any]:
    """Return what an exception looks like from outside, but for its id and when it was opened."""
    columns = [column for column in _E if column.name not in _HIDDEN]
    overdue = (_E.due_at < asker.now) & (_E.status != "closed")
    return [*columns, _E.evidence.label("cause"), overdue.label("overdue"), _provisional(asker).label("provisional")]


def _provisional(asker: Asker) -> ColumnElement[bool]:
    """Return whether an exception's verdict is not told yet: its run's, or that of a correction that opened it."""
    parts = []
    for phase in ("input", "output"):
        judged = [one for one in asker.judging if one.phase == phase]
        runs = [one.run_id for one in judged if one.resubmission_id is None]
        sent = [one.resubmission_id for one in judged if one.resubmission_id is not None]
        if runs:
            parts.append((_E.phase == phase) & (_E.run_id == _any(runs, Uuid)))
        if sent:
            mine = _E.resubmission_id.is_not(None) & (_E.resubmission_id == _any(sent, Uuid))  # else null, not false
            parts.append((_E.phase == phase) & (_E.status == "open") & mine)
    return or_(false(), *parts)


def _of_value(wanted: Filter, asker: Asker, part: Part) -> Select[Any]:
    """Return a part of the list of those with a value: the value's index in order, and each one's exception by its key.

    The limit of one keeps the engine to that. It does not know how much a tenant has, and would else, where most tenants
    have little, read all exceptions of one that has many.
    """
    rest = wanted.model_copy(update={"field": None, "value": None, "older_than": None})
    asked = [_E.id == term.c.exception_id, *conditions(rest, asker)]
    if wanted.status:
        asked.append(_E.status == wanted.status)
    found = select(*shown_columns(asker)).where(*asked).limit(1).correlate(term).lateral("found")
    columns = (term.c.exception_id.label("id"), term.c.opened_at, *found.c)
    statement = select(*columns).join_from(term, found, true()).where(*_of_term(wanted, asker))
    return part.of(statement, term.c.opened_at, term.c.exception_id)
