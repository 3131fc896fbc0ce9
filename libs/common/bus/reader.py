"""Reading the event stream: effects and position commit together, so nothing is lost, doubled or out of order."""

import asyncio
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import structlog
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from opentelemetry.trace import SpanKind
from pydantic import ValidationError

from libs.common.bus.connection import Bus
from libs.common.bus.dead_letters import letter
from libs.common.bus.fetching import cancelled, fetch
from libs.common.bus.gaps import Gaps
from libs.common.bus.subscriptions import Subscriptions, find
from libs.common.bus.topology import TOPOLOGY
from libs.common.context import Context, utc_now
from libs.common.database.leadership import leadership
from libs.common.database.pool import Database
from libs.common.database.transaction import Transaction
from libs.common.errors import Refusal, Unavailable
from libs.common.events.envelope import Event, parse
from libs.common.ids import SYSTEM_TENANT, uuid7
from libs.common.telemetry.metrics import DEAD_LETTERS, READER_EVENTS, READER_LAG, READER_POSITION, READER_SECONDS
from libs.common.telemetry.traces import span

_LOG = structlog.get_logger(__name__)
_STREAM = "EVT"
_BATCH = 100
_FETCH_SECONDS = 5.0  # a pull whose reply was forgotten by the server (after 60 s) is replaced soon
_ATTEMPTS = 6
_SAVE_SECONDS = 60.0

_POSITION = "SELECT position FROM reader_position WHERE reader = $1"
_MOVE = """
INSERT INTO reader_position (reader, position) VALUES ($1, $2)
ON CONFLICT (reader) DO UPDATE SET position = excluded.position, changed_at = clock_timestamp()
WHERE reader_position.position < excluded.position
"""


class Reader:
    """Applies a service's events to its database, one batch a transaction.

    The position lives in the database; on every start the consumer is reset to it. Of several replicas one reads.
    Events that nobody here asked for move the position in memory, and in the database now and then: to read them again
    changes nothing.
    """

    def __init__(
        self, database: Database, bus: Bus, *, service: str, lock_url: str, subscriptions: Subscriptions
    ) -> None:
        self._database = database
        self._lock_url = lock_url
        self._bus = bus
        self._service = service
        self._subscriptions = subscriptions
        self._gaps = Gaps(service, TOPOLOGY.service(service).whole)
        self._position = 0
        self._saved_at = 0.0

    async def run(self) -> None:
        """Read until cancelled; a lost database or bus is waited for."""
        while not cancelled():
            try:
                async with leadership(self._lock_url, self._service, "reader") as lock:
                    await self._read(lock)
            except (NatsError, Unavailable, OSError, TimeoutError) as error:
                _LOG.warning("reader.interrupted", error=repr(error))
            except Exception:
                _LOG.exception("reader.failed")
            await asyncio.sleep(0.5)

    async def _read(self, lock: Any) -> None:
        self._position = await self._load_position()
        await self._bus.jetstream.reset_consumer(_STREAM, self._service, seq=self._position + 1)
        subscription = await self._bus.jetstream.pull_subscribe_bind(durable=self._service, stream=_STREAM)
        try:
            while not lock.is_closed():
                await self._handle(await fetch(subscription, _BATCH, _FETCH_SECONDS))
        finally:
            await subscription.unsubscribe()

    async def _load_position(self) -> int:
        async with self._database.connection() as connection:
            return int(await connection.fetchval(_POSITION, _STREAM) or 0)

    async def _handle(self, messages: Sequence[Msg]) -> None:
        started = time.perf_counter()
        fresh = [message for message in messages if message.metadata.sequence.stream > self._position]
        try:
            await self._apply(fresh)
        except Exception as error:
            _LOG.info("reader.batch_split", size=len(fresh), error=repr(error))
            for message in fresh:
                await self._apply_alone(message)
        for message in messages:
            await message.ack()
        if messages:
            READER_LAG.labels(self._service, _STREAM).set(messages[-1].metadata.num_pending)
        READER_SECONDS.labels(self._service).observe(time.perf_counter() - started)

    async def _apply(self, messages: Sequence[Msg]) -> None:
        if not messages:
            return
        for message in messages:
            self._gaps.look(message.subject, message.data)
        last = messages[-1].metadata.sequence.stream
        if self._must_save(messages):
            async with self._database.transaction(self._context()) as tx:
                for message in messages:
                    await self._dispatch(tx, message.subject, message.data)
                await tx.connection.execute(_MOVE, _STREAM, last)
            self._saved_at = time.monotonic()
        self._position = last
        READER_POSITION.labels(self._service, _STREAM).set(last)

    def _must_save(self, messages: Sequence[Msg]) -> bool:
        overdue = time.monotonic() - self._saved_at > _SAVE_SECONDS
        return overdue or any(find(self._subscriptions, message.subject) for message in messages)

    async def _apply_alone(self, message: Msg) -> None:
        for attempt in range(_ATTEMPTS):
            try:
                await self._apply([message])
            except (Refusal, ValidationError) as error:
                if not isinstance(error, Unavailable):
                    return await self._give_up(message, error)
                await asyncio.sleep(0.2 * 2**attempt)
            except Exception as error:
                _LOG.exception("reader.retry", subject=message.subject, attempt=attempt)
                if attempt + 1 == _ATTEMPTS:
                    return await self._give_up(message, error)
                await asyncio.sleep(0.2 * 2**attempt)
            else:
                return None
        raise Unavailable("The database stays away.")

    async def _give_up(self, message: Msg, error: Exception) -> None:
        sequence = message.metadata.sequence.stream
        _LOG.error("reader.dead_letter", subject=message.subject, sequence=sequence, error=str(error))
        async with self._database.transaction(self._context()) as tx:
            await self._bury(tx, sequence, message.subject, message.data, error)
            await tx.connection.execute(_MOVE, _STREAM, sequence)
        self._position = sequence

    async def replay(self, subject: str, body: bytes, sequence: int) -> None:
        """Handle a dead letter's message again; if that fails, it becomes a dead letter again."""
        try:
            async with self._database.transaction(self._context()) as tx:
                await self._dispatch(tx, subject, body)
        except Exception as error:
            _LOG.exception("reader.replay_failed", subject=subject)
            async with self._database.transaction(self._context()) as tx:
                await self._bury(tx, sequence, subject, body, error)

    async def _bury(self, tx: Transaction, sequence: int, subject: str, body: bytes, error: Exception) -> None:
        target, content = letter(self._service, _STREAM, sequence, subject, body, error)
        await tx.dead_letter(target, content, event_id=uuid7(self._now()))
        DEAD_LETTERS.labels(self._service).inc()

    async def _dispatch(self, tx: Transaction, subject: str, body: bytes) -> None:
        handler = find(self._subscriptions, subject)
        if handler is None:
            return
        event = parse(body)
        require_own_subject(event, subject)
        await tx.become(event.context(f"service:{self._service}", self._now()))
        with span(f"handle {event.name}", parent=event.traceparent, kind=SpanKind.CONSUMER):
            await handler(tx, event)
        READER_EVENTS.labels(self._service, event.type, "applied").inc()

    def _context(self) -> Context:
        return Context(tenant_id=SYSTEM_TENANT, actor=f"service:{self._service}", now=self._now())

    def _now(self) -> datetime:
        return utc_now()


def require_own_subject(event: Event, subject: str) -> None:
    """Check that an event says of itself what its subject says: a literal `*` as tenant can be stored.

    Raises:
        Refusal: tenant, service or name differ.
    """
    expected = f"evt.{event.tenantid}.{event.name}"
    if subject != expected or event.name.split(".", 1)[0] != event.source:
        raise Refusal(f"the envelope says {expected}, its subject {subject}")
