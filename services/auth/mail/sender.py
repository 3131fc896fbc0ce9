"""Sends what waits in the mail outbox: each mail once, several at a time, none waiting for a bad one.

A mail is claimed under the mailer's role, then read and settled under its tenant. A process that dies between the
mail server's answer and the settling sends it again, under the same Message-ID: that is all that SMTP allows.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

import asyncpg
import structlog
from prometheus_client import Counter

from libs.common.bus.fetching import cancelled
from libs.common.context import Context, utc_now
from libs.common.crypto.keyring import UnreadableSecretError
from libs.common.database.pool import Database
from libs.common.errors import Unavailable
from libs.common.events.auth import MailSettled
from services.auth.mail.message import BadMessageError, Sender, compose
from services.auth.mail.outbox import Letter, Outbox
from services.auth.mail.templates import Texts
from services.auth.mail.transport import DeferredError, MailServer, RefusedError
from services.auth.store import mails

MAILS = Counter("regent_mails_total", "Mails by what became of a try", ["template", "outcome"])
MOST_ATTEMPTS = 12
_LOG = structlog.get_logger(__name__)
_AT_ONCE = 4
_LEASE = timedelta(minutes=3)  # longer than a try can take
_POLL_SECONDS = 1.0
_LONGEST_DELAY = timedelta(hours=1)
_KEEP = timedelta(days=7)
_TIDY_SECONDS = 60.0
_AWAY = (Unavailable, OSError, TimeoutError, asyncpg.PostgresConnectionError)


@dataclass(frozen=True, slots=True)
class Claim:
    """A mail that is ours for a while; `attempts` counts this try."""

    tenant_id: UUID
    id: UUID
    attempts: int


def delay(first: timedelta, attempts: int) -> timedelta:
    """Return how long to wait after so many failed tries."""
    longest = max(first, _LONGEST_DELAY)
    grown: timedelta = first * 3 ** min(attempts - 1, 20)
    return min(grown, longest)


class MailSender:
    """The worker; several of them at once share the work."""

    def __init__(
        self,
        database: Database,
        mailer: Database,
        outbox: Outbox,
        server: MailServer,
        sender: Sender,
        *,
        retry: timedelta,
    ) -> None:
        self._database = database
        self._mailer = mailer
        self._outbox = outbox
        self._server = server
        self._sender = sender
        self._retry = retry
        self._texts = Texts()
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Look now: something was committed."""
        self._wake.set()

    async def run(self) -> None:
        """Send until cancelled; a lost database is waited for."""
        slots = asyncio.Semaphore(_AT_ONCE)
        async with asyncio.TaskGroup() as tasks:
            while not cancelled():
                await slots.acquire()
                self._wake.clear()
                claim = await self._claimed()
                if claim is None:
                    slots.release()
                    await self._rest()
                    continue
                tasks.create_task(self._work(claim)).add_done_callback(lambda _: slots.release())

    async def tidy(self) -> None:
        """Forget mails long after they were settled, until cancelled."""
        while True:
            try:
                async with self._mailer.connection() as connection:
                    await mails.forget(connection, utc_now() - _KEEP)
            except _AWAY as error:
                _LOG.warning("mail.tidy_interrupted", error=repr(error))
            await asyncio.sleep(_TIDY_SECONDS)

    async def _rest(self) -> None:
        try:
            await asyncio.wait_for(self._wake.wait(), _POLL_SECONDS)
        except TimeoutError:
            return

    async def _claimed(self) -> Claim | None:
        try:
            return await self.claim(utc_now())
        except _AWAY as error:
            _LOG.warning("mail.interrupted", error=repr(error))
        except Exception:
            _LOG.exception("mail.failed")
        await asyncio.sleep(_POLL_SECONDS)
        return None

    async def _work(self, claim: Claim) -> None:
        """Send one; whatever goes wrong with it stays with it, and is tried again when the lease is over."""
        try:
            await self.process(claim)
        except Exception:
            _LOG.exception("mail.failed", mail_id=str(claim.id))

    async def claim(self, now: datetime) -> Claim | None:
        """Take the mail that is due longest."""
        async with self._mailer.connection() as connection:
            row = await mails.claim(connection, now, now + _LEASE)
        return Claim(row["tenant_id"], row["id"], row["attempts"]) if row else None

    async def process(self, claim: Claim) -> None:
        """Send a claimed mail and note what became of it."""
        template = ""
        try:
            found = await self._read(claim)
            if found is None:
                return
            template = found.template
            await self._server.send(compose(self._texts, self._sender, claim.id, found, utc_now()))
        except (BadMessageError, RefusedError, UnreadableSecretError) as error:
            reason = "its key is gone" if isinstance(error, UnreadableSecretError) else str(error)
            await self._bury(claim, reason)
        except DeferredError as error:
            await self._defer(claim, template, str(error))
        else:
            await self._settle(claim, "sent", None)

    async def _read(self, claim: Claim) -> Letter | None:
        async with self._database.transaction(self._context(claim)) as tx:
            row = await mails.find(tx, claim.id, claim.attempts)
            if row is None:
                return None
            if row["expires_at"] is not None and row["expires_at"] <= tx.context.now:
                raise BadMessageError("what it links to has expired")
            if claim.attempts > MOST_ATTEMPTS:
                raise BadMessageError("every try ended without an answer")
            return await self._outbox.read(tx, row)

    async def _defer(self, claim: Claim, template: str, reason: str) -> None:
        if claim.attempts >= MOST_ATTEMPTS:
            await self._bury(claim, f"given up after {claim.attempts} tries: {reason}")
            return
        async with self._database.transaction(self._context(claim)) as tx:
            due = tx.context.now + delay(self._retry, claim.attempts)
            await mails.postpone(tx, claim.id, claim.attempts, due, reason)
        MAILS.labels(template, "deferred").inc()
        _LOG.warning("mail.deferred", mail_id=str(claim.id), attempts=claim.attempts, reason=reason)

    async def _bury(self, claim: Claim, reason: str) -> None:
        _LOG.error("mail.dead", mail_id=str(claim.id), attempts=claim.attempts, reason=reason)
        await self._settle(claim, "dead", reason)

    async def _settle(self, claim: Claim, outcome: Literal["sent", "dead"], reason: str | None) -> None:
        async with self._database.transaction(self._context(claim)) as tx:
            row = await mails.find(tx, claim.id, claim.attempts)
            if row is None or not await mails.settle(tx, claim.id, claim.attempts, outcome, reason):
                return
            event = "mail.sent" if outcome == "sent" else "mail.dead"
            settled = MailSettled(mail_id=claim.id, template=row["template"], attempts=claim.attempts, reason=reason)
            await tx.emit(event, settled, entity=claim.id)
        MAILS.labels(row["template"], outcome).inc()

    def _context(self, claim: Claim) -> Context:
        return Context(claim.tenant_id, "service:auth", utc_now())
