"""The second step of a login: what the first one left pending, and the code that completes it."""

import secrets
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, NoReturn
from uuid import UUID

from libs.common.context import Context
from libs.common.database.pool import Database
from libs.common.database.transaction import Row, Transaction
from libs.common.errors import Conflict, Invalid, Refusal, Unauthenticated
from libs.common.ids import SYSTEM_TENANT
from services.auth import authentication
from services.auth.authority import Authority
from services.auth.commands import factors
from services.auth.metrics import LOGINS
from services.auth.opaque import digest, new_secret
from services.auth.store import accounts
from services.auth.store import factors as stored

LIFE, LIFE_TO_ENROL = timedelta(minutes=5), timedelta(minutes=15)
"""How long a login waits for its second step; longer where an app has to be installed first."""

_Proof = Callable[[Transaction, Row, factors.Person], Awaitable[list[str] | None]]
"""Uses a proof up: recovery codes where a factor was enrolled by it, or None where it is wrong."""


class SecondFactorRequired(Unauthenticated):
    """The password was right, and is not enough. `methods` is empty where a factor has to be enrolled first."""

    type = "second-factor-required"

    def __init__(self, token: str, methods: list[str]) -> None:
        super().__init__(
            "A second factor is required." if methods else "This tenant requires a second factor: enrol one.",
            extra={"token": token, "methods": methods, "expires_in": int(_life(methods).total_seconds())},
        )
        self.token = token
        self.methods = methods


@dataclass(frozen=True, slots=True)
class Passed:
    """Who has passed both steps, where they go, and recovery codes where a factor was enrolled on the way."""

    tenant: UUID
    user: UUID
    email: str
    recovery_codes: list[str]
    amr: Sequence[str] = ()
    upstream_id: UUID | None = None
    """The link of a first step that was an identity provider's."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What somebody may set up before they are let in: an app, or a passkey by its token and options."""

    email: str
    app: factors.Enrolment
    registration: str
    options: dict[str, Any]


async def left_pending(
    tx: Transaction, user: UUID, chosen: Row, upstream_id: UUID | None = None
) -> SecondFactorRequired | None:
    """Return what to refuse a proven first step with, or None where it is enough. The tenant is the system tenant."""
    methods = await _methods(tx, user)
    if not methods and chosen["second_factor"] != "required":
        return None
    token = new_secret("lg_")
    expires = tx.context.now + _life(methods)
    await stored.add_pending(tx, digest(token), user, chosen["tenant_id"], expires, upstream_id)
    return SecondFactorRequired(token, methods)


@dataclass(frozen=True, slots=True)
class SecondStep:
    """Completes logins; `context` is the system tenant's."""

    database: Database
    authority: Authority
    context: Context

    async def enrol(self, token: str, name: str) -> tuple[factors.Enrolment, str]:
        """Begin to add an authenticator app where the tenant asks for one and the person has none.

        Returns it and the person's address.

        Raises:
            Unauthenticated: the token is unknown, used or expired.
            Conflict: the person has a factor, or has a password and came without it.
        """
        async with self._system() as tx:
            pending = await stored.find_pending(tx, digest(token))
            if pending is not None:
                person = await _without_factor(tx, pending)
                return await factors.enrol_totp(tx, self.authority, person, name), pending["email"]
        return await self._refuse_token()

    async def offer(self, token: str, name: str, shown: UUID | None) -> Offer:
        """Return what somebody without a factor may set up on the way in: an app or a passkey.

        The app is a new one, unless its id says that this browser was `shown` it: what somebody else with the password
        has seen before is worth nothing.

        Raises:
            Unauthenticated: the token is unknown, used or expired.
            Conflict: the person has a factor.
        """
        async with self._system() as tx:
            pending = await stored.find_pending(tx, digest(token))
            if pending is not None:
                person = await _without_factor(tx, pending)
                app = await factors.waiting_totp(tx, self.authority, person, shown)
                app = app or await factors.enrol_totp(tx, self.authority, person, name)
                ask = self.authority.passkeys.ask_to_register
                return Offer(pending["email"], app, *ask(person.id, pending["email"], [], self.context.now))
        return await self._refuse_token()

    async def methods(self, token: str) -> list[str] | None:
        """Return what completes a pending login: nothing where a factor has to be enrolled; None where it is gone."""
        async with self._system() as tx:
            pending = await stored.find_pending(tx, digest(token))
            return None if pending is None else await _methods(tx, pending["identity_id"])

    async def ask_to_sign(self, token: str) -> dict[str, Any]:
        """Return what a passkey is asked to complete a login.

        Raises:
            Unauthenticated: the token is unknown, used or expired.
        """
        challenge = secrets.token_bytes(32)
        async with self._system() as tx:
            pending = await stored.find_pending(tx, digest(token))
            if pending is not None:
                await stored.ask(tx, digest(token), challenge)
                held = factors.confirmed_ones(await stored.of_person(tx, pending["identity_id"]))
                return self.authority.passkeys.ask_to_sign(challenge, held)
        return await self._refuse_token()

    async def complete_by_passkey(self, token: str, credential: dict[str, Any]) -> Passed:
        """Exchange a pending login and a passkey's signature for who passed.

        Raises:
            Unauthenticated, TooManyRequests: as `complete`.
        """

        async def signed(tx: Transaction, pending: Row, person: factors.Person) -> list[str] | None:
            challenge = pending["challenge"]
            if challenge and await factors.use_passkey(tx, self.authority, person, challenge, credential):
                return []
            await factors.say(tx, person, "factor.refused", "passkey", None)
            return None

        return await self._complete(token, "passkey", signed)

    async def complete_by_new_passkey(self, token: str, registration: str, credential: dict[str, Any]) -> Passed:
        """Exchange a pending login for who passed, by a passkey made on the way in: the person's first factor.

        Raises:
            Unauthenticated, TooManyRequests: as `complete`.
        """

        async def made(tx: Transaction, pending: Row, person: factors.Person) -> list[str] | None:
            key = self.authority.passkeys.registered(person.id, registration, credential, tx.context.now)
            try:
                await _without_factor(tx, pending)
                return (await factors.add_passkey(tx, self.authority, person, "Passkey", key))[1]
            except Refusal:
                return None

        return await self._complete(token, "passkey", made)

    async def complete(self, token: str, code: str) -> Passed:
        """Exchange a pending login and a code of the person's app, or a recovery code, for who passed.

        Raises:
            Unauthenticated: the token is unknown, used or expired, the code is wrong or was used, or the person or the
                tenant was shut out meanwhile.
            TooManyRequests: too many wrong codes before.
        """

        async def shown(tx: Transaction, _pending: Row, person: factors.Person) -> list[str] | None:
            codes = await self._first_use(tx, person, code)
            if codes is None and not await factors.use_code(tx, self.authority, person, code):
                await factors.say(tx, person, "factor.refused", "totp", None)
                return None
            return codes or []

        return await self._complete(token, "totp", shown)

    async def _complete(self, token: str, kind: str, proof: _Proof) -> Passed:
        async with self._system() as tx:
            pending = await stored.find_pending(tx, digest(token))
            counted = await self.authority.throttle.reserve(tx, _account(pending)) if pending else None
        if pending is None or counted is None:
            return await self._refuse_token()
        async with self._system() as tx:
            passed = await self._passed(tx, pending, token, proof)
            if passed is None:
                await self.authority.throttle.fail(tx, counted)
            else:
                await self.authority.throttle.settle(tx, counted)
        LOGINS.labels("second-factor", "in" if passed else "wrong-secret").inc()
        if passed is None:
            what = "passkey did not answer as it should." if kind == "passkey" else "code is wrong, or was used."
            raise Unauthenticated(f"The {what}", type="wrong-code")
        first = authentication.PASSWORD if passed.upstream_id is None else authentication.FEDERATED
        return replace(passed, amr=authentication.methods(kind, first))

    async def _passed(self, tx: Transaction, pending: Row, token: str, proof: _Proof) -> Passed | None:
        person = factors.Person(pending["identity_id"], pending["chosen"])
        if not await self._may_enter(tx, person):
            return None
        codes = await proof(tx, pending, person)
        if codes is None or not await stored.use_pending(tx, digest(token)):
            return None
        return Passed(person.tenant, person.id, pending["email"], codes, upstream_id=pending["upstream_id"])

    async def _first_use(self, tx: Transaction, person: factors.Person, code: str) -> list[str] | None:
        """Confirm an app that was enrolled on the way in; None where there is none to confirm or the code is wrong."""
        held = await stored.of_person(tx, person.id, lock=True)
        if factors.confirmed_ones(held) or not held:
            return None
        try:
            return await factors.confirm_totp(tx, self.authority, person, held[-1]["id"], code)
        except Invalid:
            return None

    async def _may_enter(self, tx: Transaction, person: factors.Person) -> bool:
        for row in await accounts.own_memberships(tx, person.id):
            if row["tenant_id"] == person.tenant:
                return bool(row["status"] == "active" and row["tenant_status"] == "active")
        return False

    async def _refuse_token(self) -> NoReturn:
        async with self._system() as tx:
            await self.authority.throttle.note_failure(tx)
        raise Unauthenticated("The login has to begin again: this token is unknown, used or expired.")

    def _system(self) -> AbstractAsyncContextManager[Transaction]:
        return self.database.transaction(replace(self.context, tenant_id=SYSTEM_TENANT))


def _life(methods: Sequence[str]) -> timedelta:
    return LIFE if methods else LIFE_TO_ENROL


async def _methods(tx: Transaction, user: UUID) -> list[str]:
    held = factors.confirmed_ones(await stored.of_person(tx, user))
    return sorted({one["kind"] for one in held} | ({"recovery_code"} if held else set()))


async def _without_factor(tx: Transaction, pending: Row) -> factors.Person:
    person = factors.Person(pending["identity_id"], pending["chosen"])
    if factors.confirmed_ones(await stored.of_person(tx, person.id, lock=True)):
        raise Conflict("There is a factor; use it.", type="factor-exists")
    if pending["upstream_id"] is not None and pending["has_password"]:
        # a factor counts in all of a person's tenants: one tenant's provider must not plant it
        raise Conflict("Log in with your password once, to set a second factor up.", type="password-needed")
    return person


def _account(pending: Row) -> str:
    return f"second-factor:{pending['identity_id']}"
