"""Ways in that span transactions: passwords are hashed between them, never inside one."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Literal, NoReturn
from uuid import UUID, uuid4

from prometheus_client import Counter

from libs.common.context import Context
from libs.common.database.pool import Database
from libs.common.database.transaction import Row, Transaction
from libs.common.errors import FieldProblem, Forbidden, Invalid, TooManyRequests, Unauthenticated, Unavailable
from libs.common.events.auth import LoginFailed
from libs.common.ids import SYSTEM_TENANT
from services.auth.authority import Authority
from services.auth.commands import clients, grants, tenants
from services.auth.opaque import RefreshToken, digest
from services.auth.password_policy import normalise_password
from services.auth.signing import Access
from services.auth.store import accounts
from services.auth.store import grants as stored
from services.auth.throttle import Try

LOGINS = Counter("regent_auth_logins_total", "Ways in that were tried", ["method", "outcome"])
_Method = Literal["password", "setup", "refresh_token", "client_credentials"]


@dataclass(frozen=True, slots=True)
class Tokens:
    """What somebody leaves with."""

    access: Access
    access_token: str
    refresh_token: str | None


@dataclass(frozen=True, slots=True)
class Doorway:
    """Lets people and clients in; `context` is the system tenant's, since nobody's tenant is known yet."""

    database: Database
    authority: Authority
    context: Context

    async def login(self, email: str, password: str, tenant: UUID | None) -> Tokens:
        """Log a person in to one of their tenants; `email` is normalised.

        Raises:
            Unauthenticated, TooManyRequests, Invalid: as `prove`.
        """
        chosen, user = await self.prove(email, password, tenant)
        return await self._open(chosen, user, "password")

    async def prove(self, email: str, password: str, tenant: UUID | None) -> tuple[UUID, UUID]:
        """Return the tenant and the person that an address and its password prove; `email` is normalised.

        Raises:
            Unauthenticated: wrong, unknown, disabled or suspended: one answer for all.
            TooManyRequests: too many failures before; the right password waits as well.
            Invalid: there are several tenants and none was chosen; lists them.
        """
        counted, person = await self._count(email)
        if not await self._verified(person, password, counted) or person is None:
            await self._failed(person, email, "wrong-secret" if person else "unknown")
        async with self.system() as tx:
            await self.authority.throttle.settle(tx, counted)
            memberships = await accounts.own_memberships(tx, person["id"])
        chosen = _choose(memberships, tenant)
        if chosen is None:
            await self._failed(person, email, "disabled")
        return chosen, person["id"]

    async def _count(self, email: str) -> tuple[Try, Row | None]:
        """Count a try before it is made, and find who it is for."""
        try:
            async with self.system() as tx:
                counted = await self.authority.throttle.reserve(tx, email)
                return counted, await accounts.find_identity(tx, email)
        except TooManyRequests:
            LOGINS.labels("password", "throttled").inc()
            raise

    async def _verified(self, person: Row | None, password: str, counted: Try) -> bool:
        known = person["password_hash"] if person else None
        text = normalise_password(password)
        try:
            right = await self.authority.passwords.verify(known, text)
        except Unavailable:
            async with self.system() as tx:
                await self.authority.throttle.give_back(tx, counted)
            raise
        if right and person and self.authority.passwords.outdated(person["password_hash"]):
            renewed = await self.authority.passwords.hash(text)
            async with self.system() as tx:
                await accounts.set_password_hash(tx, person["id"], renewed)
        return right

    async def _failed(
        self, person: Row | None, email: str, reason: Literal["unknown", "wrong-secret", "disabled"]
    ) -> NoReturn:
        """Announce a failure in the person's first tenant, or the system tenant; unknown addresses as a keyed hash."""
        async with self.system() as tx:
            memberships = await accounts.own_memberships(tx, person["id"] if person else uuid4())
            if memberships:
                await tx.become(replace(self.context, tenant_id=memberships[0]["tenant_id"]))
            subject = f"user:{person['id']}" if person else f"account:{self._mark(email)}"
            failed = LoginFailed(method="password", reason=reason, subject=subject, address=self.context.address)
            await tx.emit("session.failed", failed, entity=f"login:{tx.tenant_id}")
        LOGINS.labels("password", reason).inc()
        raise Unauthenticated("The e-mail address or the password is wrong.", type="login-failed")

    def _mark(self, email: str) -> str:
        return self.authority.throttle.mark("account", email).hex()[:32]

    async def _open(self, tenant: UUID, user: UUID, method: Literal["password", "setup"]) -> Tokens:
        async with self.acting(tenant, f"user:{user}") as tx:
            entry = await grants.open_login(tx, user, method, self.authority.lifetimes.login)
        return await self.issue(tenant, entry, method)

    async def set_up(self, token: str, tenant_name: str, email: str, name: str, password: str) -> tuple[UUID, Tokens]:
        """Use a set-up link up: make a tenant with its owner, and log the owner in.

        Raises:
            Forbidden: the link is unknown, used or expired.
            TooManyRequests: too many such links from this address.
        """
        async with self.system() as tx:
            usable = await accounts.setup_link_is_usable(tx, digest(token))
            if not usable:
                await self.authority.throttle.note_failure(tx)
        person = tenants.Person(email, name, await self.authority.passwords.hash(password) if usable else "")
        tenant = uuid4()
        async with self.system() as tx:
            if not usable or not await accounts.use_setup_link(tx, digest(token)):
                raise Forbidden("The set-up link is unknown, used or expired.", type="setup-link")
            await tx.become(replace(self.context, tenant_id=tenant))
            owner = await tenants.create(tx, tenant_name, person)
        return owner, await self._open(tenant, owner, "setup")

    async def refresh(self, text: str, scope: str | None) -> Tokens | None:
        """Exchange a refresh token; None where it is refused.

        Raises:
            Invalid: the scope asks for more than there is.
            TooManyRequests: too many invented tokens from this address.
        """
        presented = RefreshToken.read(text)
        entry = None
        if presented is not None:
            async with self.acting(presented.tenant_id, "anonymous") as tx:
                entry = await grants.refresh(tx, presented, scope)
        if presented is None or entry is None:
            await self.count_failure("refresh_token")
            return None
        return await self.issue(presented.tenant_id, entry, "refresh_token")

    async def client_credentials(self, client_id: str, secret: str, scope: str | None) -> Tokens | None:
        """Let a client in; None where it is unknown or its secret is wrong.

        Raises:
            Invalid: the scope asks for more than the client's roles allow.
            TooManyRequests: too many failures from this address.
        """
        async with self.system() as tx:
            client = await stored.find_presented_client(tx, _uuid(client_id))
        async with self._of_client(client) as tx:
            right = client is not None and await clients.authenticate(tx, client, secret)
            if right and client is not None:
                entry = await clients.enter(tx, client, scope)
            else:
                await self._client_failed(tx, client)
        if client is None or not right:
            await self.count_failure("client_credentials")
            return None
        return await self.issue(client["tenant_id"], entry, "client_credentials")

    def _of_client(self, client: Row | None) -> AbstractAsyncContextManager[Transaction]:
        if client is None:
            return self.system()
        return self.acting(client["tenant_id"], f"client:{client['id']}")

    async def _client_failed(self, tx: Transaction, client: Row | None) -> None:
        reason: Literal["unknown", "wrong-secret"] = "wrong-secret" if client else "unknown"
        subject = f"client:{client['id']}" if client else None
        failed = LoginFailed(method="client_credentials", reason=reason, subject=subject, address=self.context.address)
        await tx.emit("session.failed", failed, entity=f"login:{tx.tenant_id}")

    async def count_failure(self, method: _Method) -> None:
        """Count a refused way in against the caller's address.

        Raises:
            TooManyRequests: too many were refused before.
        """
        LOGINS.labels(method, "refused").inc()
        async with self.system() as tx:
            await self.authority.throttle.note_failure(tx)

    async def issue(self, tenant: UUID, entry: grants.Entry, method: _Method) -> Tokens:
        """Sign what an entry may have."""
        signer = self.authority.signers.latest(self.context.now)
        if signer is None:
            async with self.system() as tx:
                signer = await self.authority.signers.active(tx)
        access = Access(
            subject=entry.subject,
            tenant_id=tenant,
            grant_id=entry.grant_id,
            permissions=entry.permissions,
            issued_at=int(self.context.now.timestamp()),
            seconds=self.authority.lifetimes.access_seconds,
        )
        LOGINS.labels(method, "in").inc()
        return Tokens(access, signer.sign(access), entry.refresh.text if entry.refresh else None)

    def system(self) -> AbstractAsyncContextManager[Transaction]:
        """Open a transaction of the system tenant."""
        return self.database.transaction(replace(self.context, tenant_id=SYSTEM_TENANT))

    def acting(self, tenant: UUID, actor: str) -> AbstractAsyncContextManager[Transaction]:
        """Open a transaction of a tenant, in an actor's name."""
        return self.database.transaction(replace(self.context, tenant_id=tenant, actor=actor))


def _choose(memberships: Sequence[Row], wanted: UUID | None) -> UUID | None:
    """Return the tenant to enter, or None where there is none."""
    open_ones = [row for row in memberships if row["status"] == "active" and row["tenant_status"] == "active"]
    if wanted is not None:
        return next((row["tenant_id"] for row in open_ones if row["tenant_id"] == wanted), None)
    if len(open_ones) > 1:
        choices = [{"id": row["tenant_id"], "name": row["name"]} for row in open_ones]
        problem = FieldProblem("/tenant", "choose one of the listed tenants")
        raise Invalid("There are several tenants.", type="choose-tenant", fields=[problem], extra={"tenants": choices})
    return open_ones[0]["tenant_id"] if open_ones else None


def _uuid(text: str) -> UUID:
    """Return the id that a client presents; one that nobody has where it is no id."""
    try:
        return UUID(text)
    except ValueError:
        return uuid4()
