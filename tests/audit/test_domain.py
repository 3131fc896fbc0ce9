"""How messages become entries: which tenant, which attributes, which fault."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.ids import SYSTEM_TENANT
from services.audit.domain import Purged, Received, StreamGapError, by_tenant, first_seen, read, require_contiguous
from services.audit.tree import leaf_hash

TENANT = UUID("0197f5a2-7a10-7cc1-8b0e-5b5c7a3d9e01")
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
SUBJECT = f"evt.{TENANT}.catalog.report.published"
ENVELOPE: Mapping[str, Any] = {
    "specversion": "1.0",
    "id": "0197f5a2-7a10-7cc1-8b0e-000000000001",
    "source": "catalog",
    "type": "catalog.report.published.v1",
    "subject": "0197f5a2-7a10-7cc1-8b0e-00000000000a",
    "time": NOW.isoformat(),
    "dataschema": "urn:regent:event:catalog.report.published.v1",
    "tenantid": str(TENANT),
    "actor": "user:0197f5a2-7a10-7cc1-8b0e-00000000000b",
    "sequence": 1,
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "data": {"version": 3},
}


def message(changes: Mapping[str, Any] | None = None, subject: str = SUBJECT) -> Received:
    return Received(1, subject, orjson.dumps({**ENVELOPE, **(changes or {})}), NOW)


def test_event() -> None:
    """An event becomes an entry of its tenant, its leaf the hash of the exact bytes (S39)."""
    received = message()
    entry = read(received)
    assert (entry.tenant_id, entry.fault) == (TENANT, None)
    assert entry.event is not None
    assert entry.event.name == "catalog.report.published"
    assert entry.trace_id == "0af7651916cd43dd8448eb211c80319c"
    assert entry.leaf_hash == leaf_hash(received.body)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"tenantid": str(SYSTEM_TENANT)}, "envelope's tenant"),
        ({"type": "catalog.report.archived.v1"}, "event's type"),
        ({"source": "runner"}, "source"),
        ({"time": "2026-11-22T12:00:00"}, "no zone"),
        ({"time": "0001-01-01T00:00:00+14:00"}, "out of range"),
        ({"sequence": 2**63}, "out of range"),
        ({"subject": "a\x00b"}, "zero byte"),
        ({"actor": "x" * 401}, "too long"),
        ({"correlationid": "x" * 401}, "too long"),
        ({"id": "no uuid"}, "no event envelope"),
        ({"data": None}, "no event envelope"),
    ],
)
def test_faults(changes: Mapping[str, Any], fault: str) -> None:
    """A message that is no valid event still becomes an entry of its subject's tenant, with the reason."""
    entry = read(message(changes))
    assert entry.event is None
    assert fault in (entry.fault or "")
    assert entry.tenant_id == TENANT


@pytest.mark.parametrize(
    "subject", ["evt.*.catalog.report.published", "evt", "", f"evt.{str(TENANT).upper()}.a.b.c", "evt.acme.a.b.c"]
)
def test_subject_without_tenant(subject: str) -> None:
    """A message whose subject names no tenant, a literal `*` too, goes to the system tenant."""
    entry = read(message(subject=subject))
    assert entry.tenant_id == SYSTEM_TENANT
    assert entry.fault is not None


@given(st.binary(max_size=300), st.text(max_size=60))
def test_anything_becomes_an_entry(body: bytes, subject: str) -> None:
    """Whatever comes, in body and subject, is an entry and never an error."""
    entry = read(Received(1, subject, body, NOW))
    assert entry.fault is not None
    assert entry.leaf_hash == leaf_hash(body)


def test_deep_json_is_an_entry() -> None:
    """A body nested deep enough to exhaust a naive parser is an entry with a fault."""
    assert read(Received(1, SUBJECT, b"[" * 200_000, NOW)).fault == "the body is no event envelope"


def test_checkpoints_are_not_noteworthy() -> None:
    """The announcement of a checkpoint does not call for a checkpoint; everything else does, faults too."""
    signed = message(
        {"source": "audit", "type": "audit.checkpoint.signed.v1"}, subject=f"evt.{TENANT}.audit.checkpoint.signed"
    )
    assert read(signed).fault is None
    assert not read(signed).noteworthy
    assert read(message()).noteworthy
    assert read(Received(1, SUBJECT, b"", NOW)).noteworthy


def test_groups_keep_the_order() -> None:
    """Entries are grouped by tenant in stream order."""
    other = f"evt.{SYSTEM_TENANT}.catalog.report.published"
    entries = [read(message(subject=subject)) for subject in (SUBJECT, other, SUBJECT)]
    groups = by_tenant(entries)
    assert groups == {TENANT: [entries[0], entries[2]], SYSTEM_TENANT: [entries[1]]}


def test_published_twice_is_one_entry() -> None:
    """The same event published twice, in one batch or after long, is stored once."""
    entry = read(message())
    assert entry.event is not None
    assert first_seen([entry, entry], {}) == [entry]
    assert first_seen([entry], {entry.event.id: entry.leaf_hash}) == []


def test_same_id_other_content() -> None:
    """The same event id with other bytes is kept, flagged, however often it comes."""
    honest, forged = read(message()), read(message({"data": {"version": 4}}))
    kept = first_seen([honest, forged, honest, forged], {})
    assert [entry.fault for entry in kept] == [None, *["the event id was used before, for other content"] * 2]


def test_contiguous() -> None:
    """Sequences that follow the position, with or without a purge explaining the holes, pass."""
    require_contiguous(4, [5, 6, 7], [])
    require_contiguous(4, [9, 10, 12], [Purged(11, 11), Purged(3, 6), Purged(7, 8)])
    require_contiguous(4, [], [])


@pytest.mark.parametrize(
    ("sequences", "purged", "gap"),
    [([6], [], (5, 5)), ([5, 8], [], (6, 7)), ([9], [Purged(5, 6)], (7, 8)), ([9], [Purged(6, 8)], (5, 8))],
)
def test_gaps(sequences: list[int], purged: list[Purged], gap: tuple[int, int]) -> None:
    """A hole that no purge names stops the reader, which says what is missing (S39)."""
    with pytest.raises(StreamGapError) as caught:
        require_contiguous(4, sequences, purged)
    assert (caught.value.first, caught.value.last) == gap
