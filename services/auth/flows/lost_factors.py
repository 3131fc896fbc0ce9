"""Second factors that somebody has lost: removed by an administrator, or an operator, and never for the loser alone.

The password goes with them: whoever knows it has not shown more than that. The person shows by a link to their address
who they are, and chooses another one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from libs.common.database.transaction import Row, Transaction
from libs.common.errors import Conflict, Forbidden, NotFound
from libs.common.events.auth import FactorsReset
from libs.common.identity.principal import Principal
from libs.common.ids import SYSTEM_TENANT
from services.auth import domain
from services.auth.commands import roles
from services.auth.commands.factors import confirmed_ones
from services.auth.flows.office import VALID, end_logins, issue
from services.auth.mail.outbox import Letter, Outbox, shown_moment
from services.auth.store import accounts, factors, links

_ELSEWHERE = (
    "These factors also guard this person's account in other organisations. They use a recovery code, or the platform's "
    "operator resets them."
)


@dataclass(frozen=True, slots=True)
class Reset:
    """Who has them removed, as the mail says it."""

    outbox: Outbox
    by: str


async def by_administrator(tx: Transaction, outbox: Outbox, caller: Principal, user: UUID) -> None:
    """Remove the second factors of a member of the transaction's tenant, who belongs to no other.

    Raises:
        NotFound: there is no such member.
        Forbidden: they may do more than the caller, or are the caller.
        Conflict: they have no factor, or are members elsewhere too: a tenant decides for itself only.
    """
    if caller.subject == f"user:{user}":
        raise Forbidden("Nobody resets their own factors like this; recovery codes are for that.", type="own-factors")
    row = await accounts.find_member(tx, user, lock=True)
    domain.require_assignable(caller.permissions, await roles.permissions_of(tx, row["roles"]))
    back, tenant = tx.context, (await accounts.find_tenant(tx))["name"]
    await tx.become(replace(back, tenant_id=SYSTEM_TENANT))
    person = await _person(tx, user)
    memberships = await accounts.own_memberships(tx, user)
    if len(memberships) > 1:
        raise Conflict(_ELSEWHERE, type="factors-shared")
    await _remove(tx, Reset(outbox, f"An administrator of {tenant}"), person, memberships)
    await tx.become(back)


async def by_operator(tx: Transaction, outbox: Outbox, email: str) -> UUID:
    """Remove the second factors of whoever has a normalised address; the transaction is the system tenant's.

    Raises:
        NotFound: nobody has it. Conflict: they have no factor.
    """
    found = await accounts.find_identity(tx, email)
    if found is None:
        raise NotFound("Nobody has this address.")
    person = await _person(tx, found["id"])
    memberships = await accounts.own_memberships(tx, person["id"])
    await _remove(tx, Reset(outbox, "The operator of Regent"), person, memberships)
    user: UUID = person["id"]
    return user


async def _person(tx: Transaction, user: UUID) -> Row:
    """Return a person, locked: nobody joins a tenant or changes the account meanwhile."""
    person = await links.find_person(tx, user)
    if person is None:
        raise NotFound("There is no such user.")
    return person


async def _remove(tx: Transaction, reset: Reset, person: Row, memberships: Sequence[Row]) -> None:
    held = await factors.of_person(tx, person["id"], lock=True)
    confirmed = confirmed_ones(held)
    if not confirmed:
        raise Conflict("There is no second factor to reset.", type="no-factor")
    for one in held:
        await factors.remove(tx, person["id"], one["id"])
    await factors.replace_codes(tx, person["id"], [])
    await accounts.forget_password(tx, person["id"])
    await links.end_all(tx, person["id"])
    await links.end_pending_logins(tx, person["id"])
    await _tell(tx, reset, person)
    await _end(tx, person["id"], memberships, len(confirmed))


async def _tell(tx: Transaction, reset: Reset, person: Row) -> None:
    shown = await issue(tx, reset.outbox, "reset", person["email"], person["id"], {"email": person["email"]})
    values = {**shown, "by": reset.by, "when": shown_moment(tx.context.now)}
    values["again"] = reset.outbox.page("/account/forgot")
    await reset.outbox.queue(tx, Letter("factors-reset", person["email"], values), valid=VALID["reset"])


async def _end(tx: Transaction, user: UUID, memberships: Sequence[Row], count: int) -> None:
    """End all logins, and say in each tenant what was done, by whom."""
    back = tx.context
    for membership in memberships:
        await tx.become(replace(back, tenant_id=membership["tenant_id"]))
        await end_logins(tx, user)
        await tx.emit("factor.reset", FactorsReset(user_id=user, factors=count), entity=user)
    await tx.become(back)
