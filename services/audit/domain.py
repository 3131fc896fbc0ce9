"""What an audit entry is: any message of the event stream, read as far as it can be read, never refused."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from pydantic import ValidationError

from libs.common.events.envelope import Event, parse
from libs.common.ids import SYSTEM_TENANT
from services.audit.tree import leaf_hash

CHECKPOINT_SIGNED = "audit.checkpoint.signed"
STREAM_PURGED = "system.stream.purged"
_LONGEST_ATTRIBUTE = 400
_LARGEST_INTEGER = 2**63 - 1
_SUBJECT_TOKENS = 5


@dataclass(frozen=True, slots=True)
class Received:
    """A message as it came: its place in the stream, its subject, its exact bytes."""

    stream_seq: int
    subject: str
    body: bytes
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Entry:
    """A message under the tenant whose tree it joins; `fault` says why it is no valid event, if it is none."""

    tenant_id: UUID
    received: Received
    event: Event | None
    fault: str | None
    leaf_hash: bytes

    @property
    def noteworthy(self) -> bool:
        """Tell whether this calls for a checkpoint; a checkpoint's own announcement does not, or signing never ends."""
        return self.event is None or self.event.name != CHECKPOINT_SIGNED

    @property
    def trace_id(self) -> str | None:
        """The trace that the event belongs to, from its W3C traceparent."""
        parts = (self.event.traceparent or "").split("-") if self.event else []
        return parts[1] if len(parts) == 4 else None  # noqa: PLR2004 - version, trace, span, flags


class StreamGapError(Exception):
    """Messages that nobody purged are missing between our position and what the stream gave."""

    def __init__(self, first: int, last: int) -> None:
        super().__init__(f"the stream gave nothing from {first} to {last}, and no purge names this range")
        self.first = first
        self.last = last


@dataclass(frozen=True, slots=True)
class Purged:
    """A range of stream sequences, both ends included, that a purge removed and an event named."""

    first: int
    last: int


def read(message: Received) -> Entry:
    """Read a message into an entry of the tenant that its subject names, else of the system tenant."""
    tenant = _tenant(message.subject)
    try:
        event: Event | None = parse(message.body)
    except (ValidationError, ValueError):
        event = None
    fault = _fault(event, message.subject, tenant) if event else "the body is no event envelope"
    if fault:
        event = None
    return Entry(tenant or SYSTEM_TENANT, message, event, fault, leaf_hash(message.body))


def by_tenant(entries: Iterable[Entry]) -> dict[UUID, list[Entry]]:
    """Group entries by tenant, each group in stream order."""
    groups: dict[UUID, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(entry.tenant_id, []).append(entry)
    return groups


def first_seen(entries: Iterable[Entry], known: Mapping[UUID, bytes]) -> list[Entry]:
    """Drop what was published twice: the same event id with the same bytes, here or in `known` (id to leaf hash).

    The same id with other bytes is kept and flagged: one of the two is not what its publisher wrote.
    """
    seen, kept = dict(known), []
    for entry in entries:
        before = seen.get(entry.event.id) if entry.event else None
        if entry.event is None or before is None:
            kept.append(entry)
        elif before != entry.leaf_hash:
            kept.append(replace(entry, event=None, fault="the event id was used before, for other content"))
        if entry.event is not None:
            seen.setdefault(entry.event.id, entry.leaf_hash)
    return kept


def require_contiguous(position: int, sequences: Iterable[int], purged: Iterable[Purged]) -> None:
    """Check that a batch continues `position` without a hole that no purge explains.

    Raises:
        StreamGapError: names the first unexplained range.
    """
    ranges = sorted(purged, key=lambda each: each.first)
    for sequence in sequences:
        first = position + 1
        for each in ranges:
            if each.first <= first <= each.last:
                first = each.last + 1
        if first < sequence:
            raise StreamGapError(first, sequence - 1)
        position = sequence


def _tenant(subject: str) -> UUID | None:
    tokens = subject.split(".")
    try:
        tenant = UUID(tokens[1])
    except (IndexError, ValueError):
        return None
    return tenant if str(tenant) == tokens[1] else None


def _fault(event: Event, subject: str, tenant: UUID | None) -> str | None:
    """Say what is wrong with an event that has the envelope's form, or None."""
    tokens = subject.split(".")
    expected = ".".join(tokens[2:])
    checks = {
        "the subject names no tenant": tenant is None,
        "the envelope's tenant is not the subject's": event.tenantid != tenant,
        "the subject does not fit the event's type": len(tokens) != _SUBJECT_TOKENS or event.name != expected,
        "the source is not the subject's service": event.source != expected.split(".")[0],
        "the time has no zone": event.time.tzinfo is None,
        "the time or the sequence is out of range": not _in_range(event),
        "an attribute is too long or holds a zero byte": not all(map(_storable, _attributes(event))),
    }
    return next((fault for fault, holds in checks.items() if holds), None)


def _attributes(event: Event) -> list[str]:
    optional = (event.correlationid, event.causationid, event.traceparent)
    return [event.type, event.subject, event.actor, *(text for text in optional if text is not None)]


def _storable(text: str) -> bool:
    """Tell whether PostgreSQL keeps and indexes this text: it refuses zero bytes and index rows of 2.7 kB."""
    return len(text) <= _LONGEST_ATTRIBUTE and "\x00" not in text


def _in_range(event: Event) -> bool:
    return 1 < event.time.year < 9999 and event.sequence <= _LARGEST_INTEGER  # noqa: PLR2004 - a zone may shift the year
