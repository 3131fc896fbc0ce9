"""The bus door: every message of the event stream, exactly once, in order, whatever it holds.

Position and entries commit together. Audit would rather stand still, and say so, than go on over a hole: a stream that
is behind our position, or no longer holds what we read last, or lacks messages that no purge names, halts the reader.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg
import structlog
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from opentelemetry.trace import SpanKind
from prometheus_client import Counter, Gauge

from libs.common.bus.connection import Bus
from libs.common.bus.fetching import cancelled, fetch
from libs.common.bus.subscriptions import Handler
from libs.common.context import Context, utc_now
from libs.common.database.leadership import leadership
from libs.common.database.pool import Database
from libs.common.errors import Unavailable
from libs.common.ids import SYSTEM_TENANT
from libs.common.telemetry.metrics import READER_LAG, READER_POSITION, READER_SECONDS
from libs.common.telemetry.traces import span
from services.audit import commands, store
from services.audit.domain import (
    STREAM_PURGED,
    Entry,
    Purged,
    Received,
    StreamGapError,
    by_tenant,
    read,
    require_contiguous,
)

SUBSCRIPTIONS: Mapping[str, Handler] = {}
"""None by subject: `Ingest` takes everything, parseable or not."""

_LOG = structlog.get_logger(__name__)
_SERVICE = "audit"
_BATCH = 500
_FETCH_SECONDS = 5.0  # a pull whose reply was forgotten by the server (after 60 s) is replaced soon
_AHEAD_SECONDS = 2.0
_HALT_SECONDS = 10.0

_TRANSIENT = (NatsError, Unavailable, OSError, TimeoutError, asyncpg.PostgresConnectionError)

ENTRIES = Counter("regent_audit_entries_total", "Messages read from the event stream", ["outcome"])
HALTED = Gauge("regent_audit_halted", "1 while the trail stands still because the event stream is not what was read")


class StreamBehindError(Exception):
    """The stream does not hold what we read from it: it lost data, or is another one."""


class PurgeFoundError(Exception):
    """A purge named further ahead explains the hole here."""


class Ingest:
    """Reads the whole event stream into the tenants' trees. Of several replicas one reads."""

    def __init__(self, database: Database, bus: Bus, *, lock_url: str) -> None:
        self._database = database
        self._bus = bus
        self._lock_url = lock_url
        self._position = 0
        self._purged: list[Purged] = []
        self.halted: str | None = None

    async def run(self) -> None:
        """Read until cancelled; a lost database or bus is waited for, a hole in the stream halts until it is explained."""
        while not cancelled():
            try:
                async with leadership(self._lock_url, _SERVICE, "ingest") as lock:
                    await self._read(lock)
            except (StreamBehindError, StreamGapError) as error:
                self._halt(str(error))
                await asyncio.sleep(_HALT_SECONDS)
            except (PurgeFoundError, store.LostRaceError, *_TRANSIENT) as error:
                _LOG.warning("ingest.interrupted", error=repr(error))
            except Exception:
                _LOG.exception("ingest.failed")
            await asyncio.sleep(0.5)

    def _halt(self, reason: str) -> None:
        self.halted = reason
        HALTED.set(1)
        _LOG.error("audit.halted", reason=reason, position=self._position)

    async def _read(self, lock: Any) -> None:
        last = await self._load()
        await self._require_ahead()
        # the last message applied is read once more: is this still the stream that we read?
        await self._bus.jetstream.reset_consumer(store.STREAM, _SERVICE, seq=max(self._position, 1))
        subscription = await self._bus.jetstream.pull_subscribe_bind(durable=_SERVICE, stream=store.STREAM)
        try:
            while not lock.is_closed():
                messages = await fetch(subscription, _BATCH, _FETCH_SECONDS)
                if not messages:
                    await self._require_ahead()
                    continue
                messages, last = self._without_last(messages, last)
                await self._take(subscription, messages)
                self.halted = None
                HALTED.set(0)
        finally:
            await subscription.unsubscribe()

    async def _load(self) -> tuple[int, bytes] | None:
        async with self._database.transaction(_context()) as tx:
            self._position = await store.position(tx)
            self._purged = await store.purged(tx)
            return await store.last_message(tx)

    async def _require_ahead(self) -> None:
        state = (await self._bus.jetstream.stream_info(store.STREAM)).state
        if state.last_seq < self._position:
            raise StreamBehindError(f"the stream ends at {state.last_seq}, we have read up to {self._position}")

    def _without_last(self, messages: list[Msg], last: tuple[int, bytes] | None) -> tuple[list[Msg], None]:
        """Compare the message read once more with what was stored of it, and drop it."""
        first = messages[0]
        if last is not None and _sequence(first) == last[0]:
            if read(_received(first)).leaf_hash != last[1]:
                raise StreamBehindError(f"message {last[0]} of the stream is not the one that we read")
            messages = messages[1:]
        return messages, None

    async def _take(self, subscription: Any, messages: list[Msg]) -> None:
        started = time.perf_counter()
        # a redelivery: its acknowledgement was lost
        fresh = [message for message in messages if _sequence(message) > self._position]
        if fresh:
            await self._store_or_explain(subscription, messages, [_received(message) for message in fresh])
        else:
            await self._require_ahead()
        for message in messages:
            await message.ack()
        if messages:
            READER_LAG.labels(_SERVICE, store.STREAM).set(messages[-1].metadata.num_pending)
        READER_SECONDS.labels(_SERVICE).observe(time.perf_counter() - started)

    async def _store(self, batch: Sequence[Received]) -> None:
        """Append a batch to its tenants' trees and move the position, in one transaction."""
        entries = [read(message) for message in batch]
        purged = _purges(entries)
        require_contiguous(self._position, (message.stream_seq for message in batch), [*self._purged, *purged])
        last, stored = entries[-1], 0
        async with self._database.transaction(_context()) as tx:
            await store.move(tx, self._position, last.received.stream_seq, last.leaf_hash)
            await store.add_purged(tx, purged)
            # always in the same order, so that two writers wait for each other instead of deadlocking
            for tenant, group in sorted(by_tenant(entries).items()):
                await tx.become(Context(tenant, f"service:{_SERVICE}", tx.context.now))
                stored += await commands.append(tx, group)
        self._position = last.received.stream_seq
        self._purged += purged
        _measure(entries, stored, self._position)

    async def _store_or_explain(self, subscription: Any, messages: Sequence[Msg], batch: Sequence[Received]) -> None:
        try:
            await self._store(batch)
        except StreamGapError:
            found = await self._read_ahead(subscription, messages)
            sequences = (message.stream_seq for message in batch)
            require_contiguous(self._position, sequences, [*self._purged, *found])
            raise PurgeFoundError(f"read again from {self._position + 1}") from None

    async def _read_ahead(self, subscription: Any, messages: Sequence[Msg]) -> list[Purged]:
        """Look for events that name purges, up to the stream's end, and record what they name."""
        found: list[Purged] = []
        ahead = list(messages)
        while ahead:
            found += _purges([read(_received(message)) for message in ahead])
            for message in ahead:
                await message.ack()
            ahead = await fetch(subscription, _BATCH, _AHEAD_SECONDS)
        async with self._database.transaction(_context()) as tx:
            await store.add_purged(tx, found)
        return found


def _context() -> Context:
    return Context(SYSTEM_TENANT, f"service:{_SERVICE}", utc_now())


def _sequence(message: Msg) -> int:
    return int(message.metadata.sequence.stream)


def _received(message: Msg) -> Received:
    return Received(_sequence(message), message.subject, message.data, utc_now())


def _purges(entries: Sequence[Entry]) -> list[Purged]:
    """Read the ranges that `system.stream.purged` events of the system tenant name."""
    named = [entry.event for entry in entries if entry.event and entry.tenant_id == SYSTEM_TENANT]
    data = [event.data for event in named if event.name == STREAM_PURGED and event.data.get("stream") == store.STREAM]
    return [found for each in data if (found := _range(each.get("first"), each.get("last")))]


def _range(first: object, last: object) -> Purged | None:
    if isinstance(first, int) and isinstance(last, int) and 0 < first <= last <= store.LARGEST:
        return Purged(first, last)
    return None


def _measure(entries: Sequence[Entry], stored: int, position: int) -> None:
    faulty = sum(entry.fault is not None for entry in entries)
    ENTRIES.labels("stored").inc(stored)
    ENTRIES.labels("repeated").inc(len(entries) - stored)
    ENTRIES.labels("faulty").inc(faulty)
    READER_POSITION.labels(_SERVICE, store.STREAM).set(position)
    for entry in entries:
        if entry.event and entry.event.traceparent:
            with span(f"audit {entry.event.name}", parent=entry.event.traceparent, kind=SpanKind.CONSUMER) as current:
                current.set_attribute("messaging.nats.stream_seq", entry.received.stream_seq)
