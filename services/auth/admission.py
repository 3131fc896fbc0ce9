"""An address and a password become a person in a tenant, or a refusal that says nothing about which was wrong."""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Literal, NoReturn
from uuid import UUID, uuid4

from libs.common.context import Context
from libs.common.database.pool import Database
from libs.common.database.transaction import Row, Transaction
from libs.common.errors import FieldProblem, Invalid, TooManyRequests, Unauthenticated, Unavailable
from libs.common.events.auth import LoginFailed
from libs.common.ids import SYSTEM_TENANT
from services.auth import challenges, domain
from services.auth.authority import Authority
from services.auth.devices import known_device
from services.auth.metrics import LOGINS
from services.auth.opaque import digest
from services.auth.password_policy import normalise_password
from services.auth.second_step import left_pending
from services.auth.store import accounts, attempts, flows
from services.auth.throttle import Try

ACTION = "login"
_BUSY_WAITS, _BUSY_SECONDS = 20, 0.1
_MINUTE = timedelta(minutes=1)
_Reason = Literal["unknown", "wrong-secret", "disabled", "locked", "throttled"]


@dataclass(frozen=True, slots=True)
class Shown:
    """What a browser shows beside the password: the cookie of a known device, the solution of a challenge."""

    device: str | None = None
    solution: str | None = None


NOTHING_SHOWN = Shown()


@dataclass(frozen=True, slots=True)
class Knock:
    """A counted try of somebody who may exist."""

    email: str
    counted: Try
    person: Row | None


@dataclass(frozen=True, slots=True)
class Admission:
    """Proves passwords; `context` is the system tenant's."""

    database: Database
    authority: Authority
    context: Context

    async def prove(self, email: str, password: str, tenant: UUID | None, shown: Shown) -> tuple[UUID, UUID]:
        """Return the tenant and the person; what is raised stands at `Doorway.prove`."""
        knock, person = await self._proven(email, password, shown)
        async with self._system() as tx:
            await attempts.lose_in_a_crash(tx)
            await self.authority.throttle.settle(tx, knock.counted)
            memberships = await accounts.own_memberships(tx, person["id"])
            chosen, choices = _choose(memberships, tenant)
            more = await left_pending(tx, person["id"], chosen) if chosen else None
        if choices:
            raise choices
        if chosen is None:
            await self._failed(knock, "disabled")
        if more is not None:
            LOGINS.labels("password", "second-factor").inc()
            raise more
        return chosen["tenant_id"], person["id"]

    async def confirm(self, email: str, password: str) -> UUID:
        """Return the person that an address and its password prove, for what a token alone must not do.

        Whoever asks is logged in already: tries are counted like logins, but no challenge has to be solved.

        Raises:
            Unauthenticated, TooManyRequests: as `prove`.
        """
        knock = await self._count(email, None)
        person = await self._require_right(knock, password)
        async with self._system() as tx:
            await self.authority.throttle.settle(tx, knock.counted)
        proven: UUID = person["id"]
        return proven

    async def _proven(self, email: str, password: str, shown: Shown) -> tuple[Knock, Row]:
        knock = await self._count(email, shown.device)
        if knock.counted.failures >= domain.CHALLENGE_AFTER and not await self._solved(email, shown.solution):
            await self._failed(knock, "locked")
        return knock, await self._require_right(knock, password)

    async def _require_right(self, knock: Knock, password: str) -> Row:
        if not await self._verified(knock, password) or knock.person is None:
            await self._failed(knock, "wrong-secret" if knock.person else "unknown")
        return knock.person

    async def _count(self, email: str, cookie: str | None) -> Knock:
        """Count a try before it is made, and find who it is for; wait a little while others are being made."""
        device = known_device(self.authority.throttle, cookie, email, self.context.now)
        try:
            for _ in range(_BUSY_WAITS):
                try:
                    return await self._count_once(email, device)
                except domain.Busy:
                    await asyncio.sleep(_BUSY_SECONDS)
            return await self._count_once(email, device)
        except TooManyRequests as refused:
            LOGINS.labels("password", "throttled").inc()
            if isinstance(refused, domain.Throttled):
                await self._throttled(email, refused.bucket)
            raise

    async def _count_once(self, email: str, device: str | None) -> Knock:
        async with self.authority.counting, self._system() as tx:
            await attempts.lose_in_a_crash(tx)
            counted = await self.authority.throttle.reserve(tx, email, device=device)
            return Knock(email, counted, await accounts.find_identity(tx, email))

    async def _solved(self, email: str, solution: str | None) -> bool:
        solved = await self.authority.challenges.check(solution or "", ACTION, self._mark(email))
        if solved is None:
            return False
        async with self._system() as tx:
            return await challenges.use(tx, solved)

    async def _verified(self, knock: Knock, password: str) -> bool:
        known = knock.person["password_hash"] if knock.person else None
        text = normalise_password(password)
        try:
            right = await self.authority.passwords.verify(known, text)
        except Unavailable:
            async with self._system() as tx:
                await self.authority.throttle.give_back(tx, knock.counted)
            raise
        if right and knock.person and self.authority.passwords.outdated(knock.person["password_hash"]):
            await self._renew(knock.person["id"], text)
        return right

    async def _renew(self, user: UUID, text: str) -> None:
        """Hash a password with today's parameters; at the next login where the pool is full now."""
        try:
            renewed = await self.authority.passwords.hash(text)
        except Unavailable:
            return
        async with self._system() as tx:
            await accounts.set_password_hash(tx, user, renewed)

    async def _throttled(self, email: str, bucket: bytes) -> None:
        """Announce that tries are refused before they are made: once a minute for what is throttled."""
        minute = self.context.now.replace(second=0, microsecond=0)
        once = digest(f"throttled:{bucket.hex()}:{minute.isoformat()}")
        async with self._system() as tx:
            if await flows.first_time(tx, once, minute + _MINUTE):
                await self._announce(tx, email, await accounts.find_identity(tx, email), "throttled")

    async def _failed(self, knock: Knock, reason: _Reason) -> NoReturn:
        async with self._system() as tx:
            await self.authority.throttle.fail(tx, knock.counted)
            await self._announce(tx, knock.email, knock.person, reason)
        LOGINS.labels("password", reason).inc()
        raise self._refusal(knock, reason)

    async def _announce(self, tx: Transaction, email: str, person: Row | None, reason: _Reason) -> None:
        """Announce a failure in the person's first tenant, or the system tenant; unknown addresses as a keyed hash."""
        memberships = await accounts.own_memberships(tx, person["id"] if person else uuid4())
        tenant = memberships[0]["tenant_id"] if memberships else SYSTEM_TENANT
        await tx.become(replace(self.context, tenant_id=tenant))  # for unknown ones too: it takes time
        subject = f"user:{person['id']}" if person else f"account:{self._mark(email)[:32]}"
        failed = LoginFailed(method="password", reason=reason, subject=subject, address=self.context.address)
        await tx.emit("session.failed", failed, entity=f"login:{tx.tenant_id}")

    def _refusal(self, knock: Knock, reason: _Reason) -> Unauthenticated:
        more: dict[str, Any] = {}
        if knock.counted.failures + 1 >= domain.CHALLENGE_AFTER:
            more["challenge"] = f"/v1/challenge?action={ACTION}&account={self._mark(knock.email)}"
        if reason == "locked":
            text = "After several failures a challenge has to be solved with every try."
            return Unauthenticated(text, type="challenge-required", extra=more)
        return Unauthenticated("The e-mail address or the password is wrong.", type="login-failed", extra=more)

    def _mark(self, email: str) -> str:
        return self.authority.throttle.mark("account", email).hex()

    def _system(self) -> AbstractAsyncContextManager[Transaction]:
        return self.database.transaction(replace(self.context, tenant_id=SYSTEM_TENANT))


def _choose(memberships: Sequence[Row], wanted: UUID | None) -> tuple[Row | None, Invalid | None]:
    """Return the tenant to enter, if there is one, or what to ask where there are several."""
    open_ones = [row for row in memberships if row["status"] == "active" and row["tenant_status"] == "active"]
    if wanted is not None:
        return next((row for row in open_ones if row["tenant_id"] == wanted), None), None
    if len(open_ones) > 1:
        choices = [{"id": row["tenant_id"], "name": row["name"]} for row in open_ones]
        problem = FieldProblem("/tenant", "choose one of the listed tenants")
        asked = {"tenants": choices}
        return None, Invalid("There are several tenants.", type="choose-tenant", fields=[problem], extra=asked)
    return (open_ones[0] if open_ones else None), None
