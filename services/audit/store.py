"""Every statement of this service. Entries, nodes and checkpoints are only ever inserted."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Column, DateTime, LargeBinary, MetaData, Table, Text, Uuid

from libs.common.database.transaction import Row, Transaction
from services.audit.domain import Entry, Purged
from services.audit.tree import Frontier, Growth

STREAM = "EVT"

_METADATA = MetaData()
ENTRY = Table(
    "entry",
    _METADATA,
    Column("tenant_id", Uuid, primary_key=True),
    Column("seq", BigInteger, primary_key=True),
    Column("stream_seq", BigInteger),
    Column("received_at", DateTime(timezone=True)),
    Column("nats_subject", Text),
    Column("event_id", Uuid),
    Column("type", Text),
    Column("subject", Text),
    Column("actor", Text),
    Column("time", DateTime(timezone=True)),
    Column("correlation_id", Text),
    Column("causation_id", Text),
    Column("trace_id", Text),
    Column("fault", Text),
    Column("body", LargeBinary),
    Column("leaf_hash", LargeBinary),
)
CHECKPOINT = Table(
    "checkpoint",
    _METADATA,
    Column("tenant_id", Uuid, primary_key=True),
    Column("size", BigInteger, primary_key=True),
    Column("root", LargeBinary),
    Column("note", Text),
    Column("signed_at", DateTime(timezone=True)),
)

_HEAD = "SELECT size, frontier, noteworthy_size, signed_size FROM tree_head WHERE tenant_id = $1"
_END = "SELECT coalesce(max(seq) + 1, 0) FROM entry WHERE tenant_id = $1"
_KNOWN = "SELECT event_id, leaf_hash FROM entry WHERE tenant_id = $1 AND event_id = ANY($2::uuid[])"
_APPEND = """
INSERT INTO entry (tenant_id, seq, stream_seq, received_at, nats_subject, event_id, type, subject, actor, time,
                   correlation_id, causation_id, trace_id, fault, body, leaf_hash)
SELECT $1, * FROM unnest($2::bigint[], $3::bigint[], $4::timestamptz[], $5::text[], $6::uuid[], $7::text[], $8::text[],
                         $9::text[], $10::timestamptz[], $11::text[], $12::text[], $13::text[], $14::text[],
                         $15::bytea[], $16::bytea[])
"""
_NODES = """
INSERT INTO node (tenant_id, level, index, hash) SELECT $1, * FROM unnest($2::int[], $3::bigint[], $4::bytea[])
"""
_GROW = """
INSERT INTO tree_head AS h (tenant_id, size, frontier, noteworthy_size) VALUES ($1, $2, $3, $4)
ON CONFLICT (tenant_id) DO UPDATE SET size = $2, frontier = $3, noteworthy_size = $4 WHERE h.size = $5 RETURNING true
"""
_POSITION = "SELECT position FROM reader_position WHERE reader = $1"
_MOVE = """
INSERT INTO reader_position AS p (reader, position) VALUES ($1, $2)
ON CONFLICT (reader) DO UPDATE SET position = $2, changed_at = clock_timestamp() WHERE p.position = $3 RETURNING true
"""
_LAST = "SELECT stream_seq, leaf_hash FROM last_message WHERE stream = $1"
_REMEMBER = """
INSERT INTO last_message (stream, stream_seq, leaf_hash) VALUES ($1, $2, $3)
ON CONFLICT (stream) DO UPDATE SET stream_seq = $2, leaf_hash = $3
"""
_PURGED = "SELECT first, last FROM purged ORDER BY first"
_PURGE = "INSERT INTO purged (first, last) VALUES ($1, $2) ON CONFLICT DO NOTHING"
_LEAVES = """
SELECT e.seq AS index, e.leaf_hash AS hash FROM unnest($2::bigint[], $3::bigint[]) AS r(first, count)
CROSS JOIN LATERAL (
    SELECT seq, leaf_hash FROM entry WHERE tenant_id = $1 AND seq >= r.first AND seq < r.first + r.count) AS e
"""
_STORED_NODES = """
SELECT n.level, n.index, n.hash FROM unnest($2::int[], $3::bigint[], $4::bigint[]) AS r(level, first, count)
CROSS JOIN LATERAL (
    SELECT level, index, hash FROM node
    WHERE tenant_id = $1 AND level = r.level AND index >= r.first AND index < r.first + r.count) AS n
"""
_BODIES = """
SELECT seq, leaf_hash, body FROM entry WHERE tenant_id = $1 AND seq >= $2 AND seq < $3 ORDER BY seq LIMIT $4
"""
_DUE = """
SELECT tenant_id FROM tree_head
WHERE noteworthy_size > signed_size AND (signed_at IS NULL OR signed_at <= $1 OR size - signed_size >= $2)
ORDER BY tenant_id LIMIT $3
"""
_NOTES = "SELECT size, note FROM checkpoint WHERE tenant_id = $1 AND size > $2 AND size <= $3 ORDER BY size"
_LATEST = """
SELECT size, root, note, signed_at FROM checkpoint WHERE tenant_id = $1 AND size <= $2 ORDER BY size DESC LIMIT 1
"""
_RECORD = """
INSERT INTO checkpoint (tenant_id, size, root, note, signed_at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT DO NOTHING RETURNING true
"""
_SIGNED = "UPDATE tree_head SET signed_size = $2, signed_at = $3 WHERE tenant_id = $1 AND signed_size < $2"

LARGEST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Head:
    """A tree as its writer knows it."""

    frontier: Frontier
    noteworthy_size: int = 0
    signed_size: int = 0


@dataclass(frozen=True, slots=True)
class Extent:
    """How far a trail goes, by all who should know: its entries, its head and its latest checkpoint."""

    end: int
    head: Head
    latest: Row | None


class LostRaceError(Exception):
    """Somebody else wrote here meanwhile; nothing of this transaction may stay."""


async def head(tx: Transaction, *, lock: bool = False) -> Head:
    """Read the tenant's tree head; the empty tree's if there is none yet."""
    row = await tx.connection.fetchrow(f"{_HEAD} FOR UPDATE" if lock else _HEAD, tx.tenant_id)
    if row is None:
        return Head(Frontier())
    return Head(Frontier(row["size"], tuple(row["frontier"])), row["noteworthy_size"], row["signed_size"])


async def extent(tx: Transaction) -> Extent:
    """Read how far the trail goes. Read in this order, an honest trail's head is never behind the other two."""
    end = await tx.connection.fetchval(_END, tx.tenant_id)
    latest = await latest_checkpoint(tx)
    current = await head(tx)
    return Extent(max(end, current.frontier.size), current, latest)


async def known_events(tx: Transaction, ids: Sequence[UUID]) -> dict[UUID, bytes]:
    """Find which of these events the tenant's trail holds: id to leaf hash."""
    return dict(await tx.connection.fetch(_KNOWN, tx.tenant_id, ids)) if ids else {}


async def append(tx: Transaction, before: Head, entries: Sequence[Entry], growth: Growth) -> None:
    """Insert entries behind the tree's right edge, with the nodes that they complete and the head that they make.

    Raises:
        LostRaceError: the tree is no longer what `before` says.
    """
    first = before.frontier.size
    columns = zip(*(_columns(first + offset, entry) for offset, entry in enumerate(entries)), strict=True)
    await tx.connection.execute(_APPEND, tx.tenant_id, *map(list, columns))
    if growth.completed:
        nodes = [(tree.level, tree.index, value) for tree, value in growth.completed]
        await tx.connection.execute(_NODES, tx.tenant_id, *map(list, zip(*nodes, strict=True)))
    calls = [first + offset + 1 for offset, entry in enumerate(entries) if entry.noteworthy]
    noteworthy = calls[-1] if calls else before.noteworthy_size
    after = growth.frontier
    if not await tx.connection.fetchval(_GROW, tx.tenant_id, after.size, list(after.nodes), noteworthy, first):
        raise LostRaceError(f"the tree of {tx.tenant_id} grew meanwhile")


def _columns(seq: int, entry: Entry) -> tuple[Any, ...]:
    received, event = entry.received, entry.event
    subject = received.subject.replace("\x00", "\ufffd")
    told: tuple[Any, ...] = (None,) * 8
    if event is not None:
        told = (event.id, event.type, event.subject, event.actor, event.time)
        told += (event.correlationid, event.causationid, entry.trace_id)
    return (
        seq, received.stream_seq, received.received_at, subject, *told, entry.fault, received.body, entry.leaf_hash
    )  # fmt: skip


async def position(tx: Transaction) -> int:
    """Read the last stream sequence that was applied; 0 before the first."""
    return int(await tx.connection.fetchval(_POSITION, STREAM) or 0)


async def move(tx: Transaction, before: int, after: int, last_hash: bytes) -> None:
    """Move the reader's position, and remember the message that it stands at.

    Raises:
        LostRaceError: another reader moved it.
    """
    if not await tx.connection.fetchval(_MOVE, STREAM, after, before):
        raise LostRaceError(f"the reader's position is no longer {before}")
    await tx.connection.execute(_REMEMBER, STREAM, after, last_hash)


async def last_message(tx: Transaction) -> tuple[int, bytes] | None:
    """Read the sequence and leaf hash of the last message applied."""
    row = await tx.connection.fetchrow(_LAST, STREAM)
    return (row["stream_seq"], row["leaf_hash"]) if row else None


async def purged(tx: Transaction) -> list[Purged]:
    """Read the ranges of the stream that a purge removed."""
    return [Purged(row["first"], row["last"]) for row in await tx.connection.fetch(_PURGED)]


async def add_purged(tx: Transaction, ranges: Iterable[Purged]) -> None:
    """Record ranges that a purge removed."""
    await tx.connection.executemany(_PURGE, [(each.first, each.last) for each in ranges])


async def hashes(tx: Transaction, ranges: Mapping[int, Sequence[tuple[int, int]]]) -> dict[tuple[int, int], bytes]:
    """Read stored hashes by (level, index); `ranges` gives (first, count) by level, level 0 being the leaves."""
    leaves = ranges.get(0, ())
    found: dict[tuple[int, int], bytes] = {}
    if leaves:
        rows = await tx.connection.fetch(_LEAVES, tx.tenant_id, [r[0] for r in leaves], [r[1] for r in leaves])
        found = {(0, row["index"]): row["hash"] for row in rows}
    higher = [(level, *each) for level, several in ranges.items() if level for each in several]
    if higher:
        columns = map(list, zip(*higher, strict=True))
        rows = await tx.connection.fetch(_STORED_NODES, tx.tenant_id, *columns)
        found |= {(row["level"], row["index"]): row["hash"] for row in rows}
    return found


async def bodies(tx: Transaction, first: int, end: int, limit: int) -> Sequence[Row]:
    """Read (seq, leaf_hash, body) from `first` up to `end`, not included, in order."""
    rows: Sequence[Row] = await tx.connection.fetch(_BODIES, tx.tenant_id, first, end, limit)
    return rows


async def due(tx: Transaction, *, before: datetime, growth: int, limit: int) -> list[UUID]:
    """Find tenants whose tree grew: last signed up to `before`, or by `growth` entries since."""
    return [row["tenant_id"] for row in await tx.connection.fetch(_DUE, before, growth, limit)]


async def notes(tx: Transaction, after: int, up_to: int) -> Sequence[Row]:
    """Read (size, note) of the stored checkpoints of these sizes."""
    rows: Sequence[Row] = await tx.connection.fetch(_NOTES, tx.tenant_id, after, up_to)
    return rows


async def latest_checkpoint(tx: Transaction, up_to: int = LARGEST) -> Row | None:
    """Read the largest stored checkpoint that covers no more than `up_to` entries."""
    row: Row | None = await tx.connection.fetchrow(_LATEST, tx.tenant_id, up_to)
    return row


async def record_checkpoint(tx: Transaction, size: int, root: bytes, note: str) -> bool:
    """Insert a checkpoint; say whether it is new."""
    now = tx.context.now
    new = await tx.connection.fetchval(_RECORD, tx.tenant_id, size, root, note, now)
    await tx.connection.execute(_SIGNED, tx.tenant_id, size, now)
    return bool(new)
