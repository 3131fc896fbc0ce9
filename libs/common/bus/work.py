"""A service's own queue: a message is only a poke; the truth and the lease are in the database."""

import asyncio
import base64
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextvars import Context
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import orjson
import structlog
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from libs.common.bus.connection import Bus
from libs.common.bus.fetching import cancelled, fetch
from libs.common.bus.reader import Reader
from libs.common.database.transaction import Poke, Transaction

_LOG = structlog.get_logger(__name__)
_STREAM = "WORK"
_FETCH_SECONDS = 5.0

Handle = Callable[[dict[str, Any]], Awaitable[None]]
"""Takes the reference that a poke carries."""


@dataclass(frozen=True, slots=True)
class Early:
    """Work that this process can take in the very transaction that brings it, which saves one of its own.

    `take` does so, and returns None where it is not to be; `work` goes on with what it returned, once that is committed.
    """

    take: Callable[[Transaction, dict[str, Any]], Awaitable[Any]]
    work: Callable[[Any], Awaitable[None]]


class WorkQueue:
    """Hands pokes to the handler of their queue, at most `slots` at once.

    A poke is acknowledged before it is worked on: it may be lost or come twice, so a service also looks into its
    database from time to time. What was committed in this very process is begun at once where there is room, and only
    told over the bus where there is none. Every service has the queue `replay`: an operator's word to handle a dead
    letter again.
    """

    def __init__(
        self,
        bus: Bus,
        service: str,
        queues: Mapping[str, Handle],
        *,
        slots: int,
        early: Mapping[str, Early] = MappingProxyType({}),
    ) -> None:
        self._bus = bus
        self._service = service
        self._queues = queues
        self._early = early
        self._slots = slots
        self._free = asyncio.Semaphore(slots)
        self._running: set[asyncio.Task[None]] = set()
        self._kept = 0
        self._open = False

    async def run(self) -> None:
        """Take work until cancelled; a lost bus is waited for."""
        self._open = True
        try:
            while not cancelled():
                try:
                    await self._take()
                except (NatsError, OSError, TimeoutError) as error:
                    _LOG.warning("work.interrupted", error=repr(error))
                    await asyncio.sleep(0.5)
        finally:
            self._open = False

    def take(self, queue: str) -> bool:
        """Keep a place for work of this process, if there is one beside the one who waits for pokes."""
        if not self._open or queue not in self._queues or len(self._running) + self._kept >= self._slots - 1:
            return False
        self._kept += 1
        return True

    async def prepare(self, tx: Transaction, poke: Poke) -> Any:
        """Take the work in the transaction that brings it, where its queue can do that."""
        early = self._early.get(poke.queue)
        return await early.take(tx, orjson.loads(poke.body)) if early else None

    def leave(self) -> None:
        """Give up a place that was kept."""
        self._kept -= 1

    def begin(self, poke: Poke, prepared: Any = None) -> None:
        """Begin what has just been committed here, at the place that was kept for it."""
        self._kept -= 1
        self._start(self._directly(poke, prepared))

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
                    self._start(self._work(message.subject.split(".", 2)[2], message.data))
        finally:
            await subscription.unsubscribe()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, context=Context())  # not that of a request, where one has just committed
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _directly(self, poke: Poke, prepared: Any) -> None:
        await self._free.acquire()
        await self._work(poke.queue, poke.body, prepared)

    async def _work(self, queue: str, body: bytes, prepared: Any = None) -> None:
        try:
            if prepared is None:
                await self._queues[queue](orjson.loads(body))
            else:
                await self._early[queue].work(prepared)
        except Exception:
            _LOG.exception("work.failed", queue=queue)
        finally:
            self._free.release()


def replay(reader: Reader) -> Handle:
    """Return the handler of the queue `replay`: the letter's message once more, outside the stream's order."""

    async def handle(letter: dict[str, Any]) -> None:
        await reader.replay(letter["subject"], base64.b64decode(letter["body"]), int(letter["sequence"]))

    return handle
