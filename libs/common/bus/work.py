"""A service's own queue: a message is only a poke; the truth and the lease are in the database."""

import asyncio
import base64
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
import structlog
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from libs.common.bus.connection import Bus
from libs.common.bus.fetching import cancelled, fetch
from libs.common.bus.reader import Reader

_LOG = structlog.get_logger(__name__)
_STREAM = "WORK"
_FETCH_SECONDS = 5.0

Handle = Callable[[dict[str, Any]], Awaitable[None]]
"""Takes the reference that a poke carries."""


class WorkQueue:
    """Hands pokes to the handler of their queue, at most `slots` at once.

    A poke is acknowledged before it is worked on: it may be lost or come twice, so a service also looks into its
    database from time to time. Every service has the queue `replay`: an operator's word to handle a dead letter again.
    """

    def __init__(self, bus: Bus, service: str, queues: Mapping[str, Handle], *, slots: int) -> None:
        self._bus = bus
        self._service = service
        self._queues = queues
        self._free = asyncio.Semaphore(slots)
        self._running: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Take work until cancelled; a lost bus is waited for."""
        while not cancelled():
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
                messages: list[Msg] = []
                try:
                    messages = await fetch(subscription, 1, _FETCH_SECONDS)
                finally:
                    if not messages:
                        self._free.release()
                for message in messages:
                    await message.ack()
                    self._start(message)
        finally:
            await subscription.unsubscribe()

    def _start(self, message: Msg) -> None:
        task = asyncio.create_task(self._work(message))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _work(self, message: Msg) -> None:
        queue = message.subject.split(".", 2)[2]
        try:
            await self._queues[queue](orjson.loads(message.data))
        except Exception:
            _LOG.exception("work.failed", subject=message.subject)
        finally:
            self._free.release()


def replay(reader: Reader) -> Handle:
    """Return the handler of the queue `replay`: the letter's message once more, outside the stream's order."""

    async def handle(letter: dict[str, Any]) -> None:
        await reader.replay(letter["subject"], base64.b64decode(letter["body"]), int(letter["sequence"]))

    return handle
