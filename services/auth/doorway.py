"""Ways in that span transactions: passwords are hashed between them, never inside one."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Any, Literal
from uuid import UUID, uuid4

from libs.common.context import Context
from libs.common.database.pool import Database
from libs.common.database.transaction import Transaction
from libs.common.errors import Forbidden
from libs.common.identity.verifier import ALGORITHM
from libs.common.ids import SYSTEM_TENANT
from services.auth import authentication
from services.auth.admission import NOTHING_SHOWN, Admission, Shown
from services.auth.authority import Authority
from services.auth.commands import grants, tenants
from services.auth.metrics import LOGINS
from services.auth.opaque import digest
from services.auth.second_step import Passed, SecondStep
from services.auth.signing import Access, Signer
from services.auth.store import accounts

Method = Literal[
    "password", "setup", "refresh_token", "client_credentials", "authorization_code", "device_code", "upstream"
]


@dataclass(frozen=True, slots=True)
class Tokens:
    """What somebody leaves with."""

    access: Access
    access_token: str
    refresh_token: str | None
    id_token: str | None = None

    def content(self) -> dict[str, Any]:
        """Return what RFC 6749, 5.1 says of them."""
        return {
            "access_token": self.access_token,
            "token_type": "DPoP" if self.access.jkt else "Bearer",
            "expires_in": self.access.seconds,
            "scope": self.access.scope,
            **({"refresh_token": self.refresh_token} if self.refresh_token else {}),
            **({"id_token": self.id_token} if self.id_token else {}),
        }


@dataclass(frozen=True, slots=True)
class Doorway:
    """Lets people and clients in; `context` is the system tenant's, since nobody's tenant is known yet."""

    database: Database
    authority: Authority
    context: Context

    async def login(self, email: str, password: str, tenant: UUID | None, shown: Shown = NOTHING_SHOWN) -> Tokens:
        """Log a person in to one of their tenants; `email` is normalised.

        Raises:
            Unauthenticated, TooManyRequests, Invalid: as `prove`.
        """
        chosen, user = await self.prove(email, password, tenant, shown)
        return await self._open(chosen, user, "password", authentication.methods())

    async def prove(
        self, email: str, password: str, tenant: UUID | None, shown: Shown = NOTHING_SHOWN
    ) -> tuple[UUID, UUID]:
        """Return the tenant and the person that an address and its password prove; `email` is normalised.

        Raises:
            Unauthenticated: wrong, unknown, disabled or suspended: one answer for all; or a challenge is to be solved.
            TooManyRequests: too many failures before; the right password waits as well.
            SecondFactorRequired: the password was right; go on with `second_step.complete` and the token that it carries.
            Invalid: there are several tenants and none was chosen; lists them.
        """
        return await Admission(self.database, self.authority, self.context).prove(email, password, tenant, shown)

    async def complete(self, token: str, code: str) -> tuple[Passed, Tokens]:
        """Log somebody in whose password `login` found right, by the code of their second factor.

        Raises:
            Unauthenticated, TooManyRequests: as `SecondStep.complete`.
        """
        passed = await self.second_step.complete(token, code)
        return passed, await self._open(passed.tenant, passed.user, "password", passed.amr, passed.upstream_id)

    async def complete_by_passkey(self, token: str, credential: dict[str, Any]) -> tuple[Passed, Tokens]:
        """The same by a passkey's signature.

        Raises:
            Unauthenticated, TooManyRequests: as `SecondStep.complete`.
        """
        passed = await self.second_step.complete_by_passkey(token, credential)
        return passed, await self._open(passed.tenant, passed.user, "password", passed.amr, passed.upstream_id)

    @property
    def second_step(self) -> SecondStep:
        """The second step of logins: what completes `prove` where it raised SecondFactorRequired."""
        return SecondStep(self.database, self.authority, self.context)

    async def _open(
        self,
        tenant: UUID,
        user: UUID,
        method: Literal["password", "setup"],
        amr: Sequence[str],
        upstream_id: UUID | None = None,
    ) -> Tokens:
        async with self.acting(tenant, f"user:{user}") as tx:
            entry = await grants.open_login(tx, user, method, self.authority.lifetimes.login, amr, upstream_id)
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
        return owner, await self._open(tenant, owner, "setup", authentication.methods())

    async def count_failure(self, method: Method) -> None:
        """Count a refused way in against the caller's address.

        Raises:
            TooManyRequests: too many were refused before.
        """
        LOGINS.labels(method, "refused").inc()
        async with self.system() as tx:
            await self.authority.throttle.note_failure(tx)

    async def issue(self, tenant: UUID, entry: grants.Entry, method: Method) -> Tokens:
        """Sign what an entry may have."""
        return self.sign((await self.signer(),), tenant, entry, method)

    def sign(
        self, signers: Sequence[Signer], tenant: UUID, entry: grants.Entry, method: Method, nonce: str | None = None
    ) -> Tokens:
        """The same by keys that are open already, and by the last an ID token with the client's nonce, if it asks for one."""
        access = Access(
            subject=entry.subject,
            tenant_id=tenant,
            grant_id=entry.grant_id,
            permissions=entry.permissions,
            issued_at=int(self.context.now.timestamp()),
            seconds=self.authority.lifetimes.access_seconds,
            client_id=entry.client_id,
            jkt=entry.jkt,
            resource=entry.resource,
            nonce=entry.nonce,
            owner=entry.owner,
        )
        LOGINS.labels(method, "in").inc()
        signed, refresh = signers[0].sign(access), entry.refresh.text if entry.refresh else None
        if entry.client_id is None or "openid" not in entry.permissions:
            return Tokens(access, signed, refresh)
        how = {**authentication.claims(entry.amr), **entry.since()}
        said = {**entry.about, **how, **({"nonce": nonce} if nonce else {})}
        return Tokens(access, signed, refresh, signers[-1].identify(access, signed, said))

    async def signer(self, algorithm: str = ALGORITHM) -> Signer:
        """Return what signs now.

        Raises:
            Unavailable: there is no key yet.
        """
        signer = self.authority.signers.latest(self.context.now, algorithm)
        if signer is not None:
            return signer
        async with self.system() as tx:
            return await self.authority.signers.active(tx, algorithm)

    def system(self) -> AbstractAsyncContextManager[Transaction]:
        """Open a transaction of the system tenant."""
        return self.database.transaction(replace(self.context, tenant_id=SYSTEM_TENANT))

    def acting(self, tenant: UUID, actor: str) -> AbstractAsyncContextManager[Transaction]:
        """Open a transaction of a tenant, in an actor's name."""
        return self.database.transaction(replace(self.context, tenant_id=tenant, actor=actor))
