"""What becomes of somebody who comes from an identity provider: a login, a link, or a new member; never by an address alone."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID, uuid4

from libs.common.database.transaction import Row, Transaction
from services.auth.authentication import FEDERATED, SEVERAL
from services.auth.commands import identities, standing, tenants
from services.auth.doorway import Doorway
from services.auth.flows import invitations as flows
from services.auth.mail.outbox import Letter, shown_moment
from services.auth.metrics import LOGINS
from services.auth.second_step import left_pending
from services.auth.store import accounts, grants, invitations
from services.auth.store import upstream as stored
from services.auth.upstream import claimed
from services.auth.upstream.trips import Back, Trips, UpstreamRefused

_NO_LINK = (
    "This account of your identity provider is not linked to anybody here. If you have an account here, log in with its "
    "password and link them under /account/identities; if not, ask an administrator for an invitation."
)
_SHUT_OUT = "You, or your organisation, are shut out here."
_LINK_ENDED = "The login that began this has ended. Log in and start again."
_NOT_INVITED = (
    "The invitation is another address's than the one that your identity provider has verified, or it has ended."
)


@dataclass(frozen=True, slots=True)
class Known:
    """Somebody who is let in: by which link, and with which methods behind them."""

    tenant: UUID
    user: UUID
    upstream_id: UUID
    amr: Sequence[str] = (FEDERATED,)


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Decides what a browser that came back gets."""

    trips: Trips

    @property
    def way(self) -> Doorway:
        """The way in."""
        return self.trips.way

    async def log_in(self, back: Back) -> Known:
        """Return who somebody is here, made a member on the way where the provider's terms say so.

        Raises:
            UpstreamRefused: nobody here is linked to them, or who is may not enter.
            SecondFactorRequired: the tenant's policy, or the person's own factor, asks for more.
        """
        async with self.way.acting(back.tenant, "anonymous") as tx:
            linked = await stored.find(tx, back.provider["id"], back.arrived.subject)
            known = Known(back.tenant, linked["user_id"], linked["id"]) if linked else await self._provisioned(tx, back)
            if known is not None:
                await stored.touch(tx, known.upstream_id, back.arrived.email)
                await claimed.bring_up_to_date(tx, back.provider, known.upstream_id, known.user, back.arrived.claimed)
        if known is None:
            return await self.trips.refuse(back.tenant, "unlinked", _NO_LINK)
        trusted = back.provider["trusts_second_factor"] and back.arrived.several_factors
        await self._admit(back, known, trusted=trusted)
        return replace(known, amr=(FEDERATED, SEVERAL)) if trusted else known

    async def _provisioned(self, tx: Transaction, back: Back) -> Known | None:
        """Make a member of somebody whom nobody here knows, where the terms say so for their verified address."""
        email, terms = back.arrived.email, back.provider
        if email is None or not terms["provisions"] or email.rpartition("@")[2] not in terms["domains"]:
            return None
        if (
            await accounts.find_identity(tx, email) is not None
            or (await accounts.find_tenant(tx))["status"] != "active"
        ):
            return None
        if set(await claimed.within_limits(tx, terms, terms["roles"])) != set(terms["roles"]):
            return None  # whoever set the terms could not give these roles themselves any more
        user = uuid4()
        if await accounts.ensure_identity(tx, user, email, None) != user:
            return None  # somebody took the address a moment ago
        await tenants.add_member(tx, user, back.arrived.name or email, terms["roles"])
        return Known(
            back.tenant, user, await identities.link(tx, terms["id"], back.arrived.subject, user, "provisioned")
        )

    async def _admit(self, back: Back, known: Known, *, trusted: bool) -> None:
        async with self.way.system() as tx:
            memberships = await accounts.own_memberships(tx, known.user)
            chosen = next((row for row in memberships if row["tenant_id"] == known.tenant and _is_open(row)), None)
            asked = chosen if not trusted else None
            more = await left_pending(tx, known.user, asked, known.upstream_id) if asked else None
        if chosen is None:
            await self.trips.refuse(back.tenant, "disabled", _SHUT_OUT)
        if more is not None:
            LOGINS.labels("upstream", "second-factor").inc()
            raise more
        LOGINS.labels("upstream", "in").inc()

    async def link(self, back: Back) -> None:
        """Link somebody to the user who asked for it with their password, and is still logged in.

        Raises:
            UpstreamRefused: their login has ended. Conflict: either is linked already.
        """
        user = back.trip["user_id"]
        async with self.way.acting(back.tenant, f"user:{user}") as tx:
            grant = await grants.lock_grant(tx, back.trip["grant_id"])
            if grant is None or grant["revoked_at"] is not None or await standing.of_user(tx, user) is None:
                raise UpstreamRefused(_LINK_ENDED)
            await identities.link(tx, back.provider["id"], back.arrived.subject, user, "confirmed")
            await self._tell(tx, back, await accounts.email_of(tx, user))

    async def _tell(self, tx: Transaction, back: Back, email: str) -> None:
        """Let a mail tell the person, who may not be the one who did it."""
        outbox = self.way.authority.outbox
        values = {
            "provider": back.provider["name"],
            "tenant": (await accounts.find_tenant(tx))["name"],
            "when": shown_moment(tx.context.now),
            "link": outbox.page("/account/identities"),
        }
        await outbox.queue(tx, Letter("identity-linked", email, values))

    async def join(self, back: Back) -> str:
        """Use an invitation up for the address that it was sent to; returns the tenant's name.

        Raises:
            UpstreamRefused: the provider has not verified just this address, or the invitation has ended.
            Conflict: they are a user here, or either is linked already.
        """
        async with self.way.acting(back.tenant, "anonymous") as tx:
            row = await invitations.lock_open(tx, back.trip["invitation_id"])
            tenant = await accounts.find_tenant(tx)
            fits = row is not None and row["email"] == back.arrived.email and tenant["status"] == "active"
            if fits and row is not None:
                await self._join(tx, back, row)
        if not fits:
            await self.trips.refuse(back.tenant, "invitation", _NOT_INVITED)
        name: str = tenant["name"]
        return name

    async def _join(self, tx: Transaction, back: Back, invitation: Row) -> None:
        user = await flows.join(tx, invitation, back.trip["name"], None)
        await identities.link(tx, back.provider["id"], back.arrived.subject, user, "invited")


def _is_open(row: Row) -> bool:
    return bool(row["status"] == "active" and row["tenant_status"] == "active")
