"""The outbox relay: what was committed is published, in order, until the bus has confirmed it."""

import asyncio
import os
from collections.abc import Sequence
from typing import Any

import asyncpg
import structlog
from nats.errors import Error as NatsError
from nats.js.errors import APIError

from libs.common.bus.connection import Bus
from libs.common.bus.fetching import cancelled
from libs.common.database.leadership import leadership
from libs.common.telemetry.metrics import OUTBOX_FAILURES, OUTBOX_OLDEST_SECONDS, OUTBOX_PUBLISHED, OUTBOX_ROWS

_LOG = structlog.get_logger(__name__)
_BATCH = 500
_POLL_SECONDS = 0.5
_KEEP = "3 days"

_UNSENT = "SELECT position, event_id, subject, body FROM outbox WHERE sent_at IS NULL ORDER BY position LIMIT $1"
_SENT = "UPDATE outbox SET sent_at = clock_timestamp() WHERE position = ANY($1::bigint[])"
_STATE = "SELECT count(*), extract(epoch FROM clock_timestamp() - min(created_at)) FROM outbox WHERE sent_at IS NULL"
_CLEAN = f"DELETE FROM outbox WHERE sent_at < clock_timestamp() - interval '{_KEEP}'"

Row = Any


class Relay:
    """Publishes one service's outbox. Of several replicas one relays: a session advisory lock elects it."""

    def __init__(self, url: str, bus: Bus, service: str) -> None:
        self._url = url
        self._bus = bus
        self._service = service
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Look now: something was committed."""
        self._wake.set()

    async def run(self) -> None:
        """Relay until cancelled; a lost database or bus is waited for."""
        while not cancelled():
            try:
                await self._lead()
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, NatsError, TimeoutError) as error:
                OUTBOX_FAILURES.labels(self._service).inc()
                _LOG.warning("relay.interrupted", error=repr(error))
                await asyncio.sleep(0.3)

    async def _lead(self) -> None:
        async with leadership(self._url, self._service, "relay") as connection:
            _LOG.info("relay.leading", service=self._service)
            tidying = asyncio.create_task(self._tidy_forever())
            try:
                await self._drain_forever(connection)
            finally:
                tidying.cancel()

    async def _drain_forever(self, connection: Any) -> None:
        while not cancelled():
            self._wake.clear()
            while rows := await connection.fetch(_UNSENT, _BATCH):
                await self._publish(rows)
                await connection.execute(_SENT, [row["position"] for row in rows])
                OUTBOX_PUBLISHED.labels(self._service).inc(len(rows))
            try:
                await asyncio.wait_for(self._wake.wait(), _POLL_SECONDS)
            except TimeoutError:
                continue

    async def _tidy_forever(self) -> None:
        """Measure the backlog and forget what was sent long ago, on a connection of its own."""
        connection: Any = await asyncpg.connect(self._url, server_settings={"search_path": self._service})
        try:
            while True:
                waiting, age = await connection.fetchrow(_STATE)
                OUTBOX_ROWS.labels(self._service).set(waiting)
                OUTBOX_OLDEST_SECONDS.labels(self._service).set(age or 0)
                await connection.execute(_CLEAN)
                await asyncio.sleep(10)
        finally:
            connection.terminate()

    async def _publish(self, rows: Sequence[Row]) -> None:
        """Publish in order; runs of events go as one atomic batch."""
        start = 0
        while start < len(rows):
            end = start
            while end < len(rows) and rows[end]["subject"].startswith("evt."):
                end += 1
            if end - start > 1:
                await self._publish_batch(rows[start:end])
            else:
                end = start + 1
                await self._publish_one(rows[start])
            start = end

    async def _publish_one(self, row: Row) -> None:
        headers = {"Nats-Msg-Id": str(row["event_id"]), "Content-Type": "application/cloudevents+json"}
        await self._bus.jetstream.publish(row["subject"], bytes(row["body"]), headers=headers, timeout=5)

    async def _publish_batch(self, rows: Sequence[Row]) -> None:
        batch = os.urandom(16).hex()
        for number, row in enumerate(rows, 1):
            headers = {
                "Nats-Msg-Id": str(row["event_id"]),
                "Content-Type": "application/cloudevents+json",
                "Nats-Batch-Id": batch,
                "Nats-Batch-Sequence": str(number),
            }
            if number < len(rows):
                await self._bus.client.publish(row["subject"], bytes(row["body"]), headers=headers)
                continue
            try:
                await self._bus.jetstream.publish(
                    row["subject"], bytes(row["body"]), headers={**headers, "Nats-Batch-Commit": "1"}, timeout=10
                )
            except APIError as error:
                # any id that the stream has seen refuses the whole batch: a crash between publishing and marking
                _LOG.info("relay.batch_refused", code=error.err_code, description=error.description)
                for single in rows:
                    await self._publish_one(single)
