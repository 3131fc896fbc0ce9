"""What a list or an export is narrowed by. Every condition is one that an index can answer under row-level security."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Query
from sqlalchemy import ColumnElement, func

from libs.common.errors import FieldProblem, Invalid
from services.audit import store

_ENTRIES = store.ENTRY.c
_Text = Annotated[str | None, Query(max_length=400, pattern=r"^[^\x00]*$")]


class Filters:
    """The filters of one request."""

    def __init__(
        self,
        type: Annotated[  # noqa: A002 - the attribute's own name
            str | None, Query(max_length=400, pattern=r"^[^\x00]*$", description="beginning of the event type")
        ] = None,
        subject: _Text = None,
        actor: _Text = None,
        correlation_id: _Text = None,
        trace_id: _Text = None,
        since: Annotated[datetime | None, Query(alias="from", description="first moment, with its zone")] = None,
        until: Annotated[datetime | None, Query(alias="to", description="moment before which, with its zone")] = None,
        faulty: Annotated[
            bool | None, Query(description="only messages that are no valid event, or only valid ones")
        ] = None,
    ) -> None:
        self._given: dict[str, Any] = {
            "type": type, "subject": subject, "actor": actor, "correlation_id": correlation_id, "trace_id": trace_id,
            "from": _zoned("from", since), "to": _zoned("to", until), "faulty": faulty,
        }  # fmt: skip

    @property
    def any(self) -> bool:
        """Tell whether anything is filtered."""
        return any(value is not None for value in self._given.values())

    def conditions(self) -> list[ColumnElement[bool]]:
        """Return the conditions of a statement over entries."""
        equal = [
            _ENTRIES[name] == self._given[name]
            for name in ("subject", "actor", "correlation_id", "trace_id")
            if self._given[name] is not None
        ]
        return [*equal, *self._ranges()]

    def _ranges(self) -> list[ColumnElement[bool]]:
        given = self._given
        found: list[ColumnElement[bool]] = []
        if given["type"] is not None:
            found.append(func.starts_with(_ENTRIES.type, given["type"]))
        if given["from"] is not None:
            found.append(_ENTRIES.time >= given["from"])
        if given["to"] is not None:
            found.append(_ENTRIES.time < given["to"])
        if given["faulty"] is not None:
            found.append(_ENTRIES.fault.is_not(None) if given["faulty"] else _ENTRIES.fault.is_(None))
        return found

    def describe(self) -> str:
        """Say what was asked for, for the record."""
        given = {name: value for name, value in self._given.items() if value is not None}
        return ", ".join(f"{name}={value}" for name, value in given.items())[:1000] or "all entries"


def _zoned(name: str, moment: datetime | None) -> datetime | None:
    if moment is None:
        return None
    if moment.tzinfo is None:
        raise Invalid("A moment needs its zone.", fields=[FieldProblem(name, "give the zone, for example Z")])
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise Invalid("Out of range.", fields=[FieldProblem(name, "is out of range")]) from None
