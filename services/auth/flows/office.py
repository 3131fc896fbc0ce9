"""What all account flows share: transactions, links, and what a change of an account ends."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Literal
from uuid import UUID

import orjson

from libs.common.context import Context
from libs.common.database.pool import Database
from libs.common.database.transaction import Row, Transaction
from libs.common.errors import Forbidden
from libs.common.events.auth import AccountChanged, LinkRequested
from libs.common.ids import SYSTEM_TENANT
from services.auth import opaque
from services.auth.authority import Authority
from services.auth.commands import grants
from services.auth.mail.outbox import Outbox
from services.auth.store import accounts, links
from services.auth.store import grants as stored

Purpose = Literal["signup", "reset", "email"]
_PREFIX: Mapping[Purpose, str] = {"signup": "sv_", "reset": "pw_", "email": "ec_"}
VALID: Mapping[Purpose, timedelta] = {
    "signup": timedelta(hours=24),
    "reset": timedelta(hours=1),
    "email": timedelta(hours=1),
}
SHOWN: Mapping[Purpose, str] = {"signup": "24 hours", "reset": "1 hour", "email": "1 hour"}
_PATH: Mapping[Purpose, str] = {"signup": "/account/verify", "reset": "/account/reset", "email": "/account/email"}


@dataclass(frozen=True, slots=True)
class Held:
    """A link that can be used: whose account it changes, and what was asked for."""

    identity_id: UUID | None
    content: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Office:
    """Where accounts are changed; `context` is the system tenant's."""

    database: Database
    authority: Authority
    outbox: Outbox
    context: Context

    def system(self, actor: str | None = None) -> AbstractAsyncContextManager[Transaction]:
        """Open a transaction of the system tenant."""
        return self.acting(SYSTEM_TENANT, actor)

    def acting(self, tenant: UUID, actor: str | None = None) -> AbstractAsyncContextManager[Transaction]:
        """Open a transaction of a tenant."""
        return self.database.transaction(replace(self.context, tenant_id=tenant, actor=actor or self.context.actor))

    def mark(self, email: str) -> bytes:
        """Return the keyed hash by which an address is known in links and events."""
        return self.authority.throttle.mark("account", email)

    async def issue(
        self, tx: Transaction, purpose: Purpose, email: str, identity_id: UUID | None, content: Mapping[str, str]
    ) -> Mapping[str, str]:
        """Make a link; see `issue`."""
        return await issue(tx, self.outbox, purpose, email, identity_id, content)

    async def peek(self, purpose: Purpose, token: str) -> Held:
        """Read a link without using it.

        Raises:
            Forbidden: it is unknown, used or expired, or stood in for nobody.
            TooManyRequests: too many such links from this address.
        """
        async with self.system() as tx:
            row = await links.find(tx, opaque.digest(token), purpose)
            held = None if row is None else await self._opened(tx, token, row)
            if held is None:
                await self.authority.throttle.note_failure(tx)
        return _required(held)

    async def redeem(self, tx: Transaction, purpose: Purpose, token: str) -> Held:
        """Use a link up.

        Raises:
            Forbidden: somebody else was faster.
        """
        row = await links.use(tx, opaque.digest(token), purpose)
        return _required(None if row is None else await self._opened(tx, token, row))

    async def _opened(self, tx: Transaction, token: str, row: Row) -> Held:
        content = await self.outbox.vault.open(
            tx, table="account_link", column="sealed", row=opaque.digest(token).hex(), sealed=row["sealed"]
        )
        return Held(row["identity_id"], orjson.loads(content))

    async def tell_tenants(
        self, tx: Transaction, user: UUID, change: Literal["password", "email"], *, end: bool, keep: UUID | None = None
    ) -> None:
        """Announce a change in each tenant of a person, and end their logins there: all but `keep`."""
        memberships = await accounts.own_memberships(tx, user)
        back = tx.context
        for membership in memberships:
            await tx.become(replace(back, tenant_id=membership["tenant_id"], actor=f"user:{user}"))
            if end:
                await end_logins(tx, user, keep=keep)
            await tx.emit(
                "account.password" if change == "password" else "account.email",
                AccountChanged(user_id=user),
                entity=user,
            )
        await tx.become(back)


async def issue(
    tx: Transaction, outbox: Outbox, purpose: Purpose, email: str, identity_id: UUID | None, content: Mapping[str, str]
) -> Mapping[str, str]:
    """Make a link and announce it; returns what its mail shows. An earlier one for the address is dead now.

    The transaction is the system tenant's.
    """
    token = opaque.new_secret(_PREFIX[purpose])
    digest, mark = opaque.digest(token), outbox.throttle.mark("account", email)
    sealed = await outbox.vault.seal(
        tx, table="account_link", column="sealed", row=digest.hex(), secret=orjson.dumps(dict(content))
    )
    await links.add(tx, digest, purpose, mark, identity_id, sealed, tx.context.now + VALID[purpose])
    asked = LinkRequested(purpose=purpose, subject=f"account:{mark.hex()[:32]}", address=tx.context.address)
    await tx.emit("link.requested", asked, entity=asked.subject)
    return {"link": outbox.link(_PATH[purpose], token), "valid": SHOWN[purpose]}


async def end_logins(tx: Transaction, user: UUID, *, keep: UUID | None = None) -> None:
    """Void the tokens of a user in the transaction's tenant: all but those of the grant `keep`."""
    await links.end_unredeemed(tx, user)
    found: Sequence[Row] = await stored.live_grants(tx, f"user:{user}")
    for grant in found:
        if grant["id"] != keep:
            await grants.revoke(tx, grant, "secret-rotated")


async def end_everywhere(office: Office, user: UUID) -> None:
    """End all logins of a person in all of their tenants."""
    async with office.system(f"user:{user}") as tx:
        for membership in await accounts.own_memberships(tx, user):
            await tx.become(replace(tx.context, tenant_id=membership["tenant_id"]))
            await links.end_unredeemed(tx, user)
            await grants.revoke_all(tx, f"user:{user}", "logout")


def _required(held: Held | None) -> Held:
    if held is None:
        raise Forbidden("The link is unknown, used or expired.", type="account-link")
    return held
