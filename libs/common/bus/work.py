"""A service's own queue: a message is only a poke; the truth and the lease are in the database."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import structlog
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from libs.common.bus.connection import Bus

_LOG = structlog.get_logger(__name__)
_STREAM = "WORK"
_FETCH_SECONDS = 20.0

Handle = Callable[[str, dict[str, Any]], Awaitable[None]]
"""Takes the queue's name (`work.<service>.<queue>`) and the reference that the poke carries."""


class WorkQueue:
    """Hands pokes to `handle`, at most `slots` at once.

    A poke is acknowledged before it is worked on: it may be lost or come twice, so the service also looks into its
    database from time to time.
    """

    def __init__(self, bus: Bus, service: str, handle: Handle, *, slots: int = 4) -> None:
        self._bus = bus
        self._service = service
        self._handle = handle
        self._free = asyncio.Semaphore(slots)
        self._running: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Take work until cancelled; a lost bus is waited for."""
        while True:
            try:
                await self._take()
            except (NatsError, OSError, TimeoutError) as error:
                _LOG.warning("work.interrupted", error=repr(error))
                await asyncio.sleep(0.5)

    async def _take(self) -> None:
        subscription = await self._bus.jetstream.pull_subscribe_bind(durable=self._service, stream=_STREAM)
        try:
            while True:
                await self._free.acquire()
                try:
                    (message,) = await subscription.fetch(1, timeout=_FETCH_SECONDS)
                except BaseException as error:
                    self._free.release()
                    if isinstance(error, TimeoutError):
                        continue
                    raise
                await message.ack()
                self._start(message)
        finally:
            await subscription.unsubscribe()

    def _start(self, message: Msg) -> None:
        task = asyncio.create_task(self._work(message))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _work(self, message: Msg) -> None:
        try:
            await self._handle(message.subject.split(".", 2)[2], orjson.loads(message.data))
        except Exception:
            _LOG.exception("work.failed", subject=message.subject)
        finally:
            self._free.release()
