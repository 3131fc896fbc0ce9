"""Roles by a claim of an identity provider: what it names is given, within limits, and what it names no longer is taken."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from libs.common.database.transaction import Row, Transaction
from libs.common.events.auth import UserChanged
from services.auth.commands import lessening, roles, standing
from services.auth.permissions import covers_all
from services.auth.store import accounts, upstream

_MOST, _LONGEST = 500, 200


def named(claims: Mapping[str, Any], claim: str | None) -> frozenset[str]:
    """Return the values of a claim: a text or a list of texts; anything else names nothing."""
    value = claims.get(claim) if claim else None
    values = value if isinstance(value, list) else [value]
    return frozenset(one for one in values[:_MOST] if isinstance(one, str) and 0 < len(one) <= _LONGEST)


def mapped(terms: Row, values: frozenset[str]) -> list[str]:
    """Return the roles that a provider's terms give for these values, by name."""
    return sorted({role for value, names in terms["claimed_roles"].items() if value in values for role in names})


async def within_limits(tx: Transaction, terms: Row, names: Sequence[str]) -> list[str]:
    """Return the roles that exist and that whoever set the terms could still give away themselves."""
    if terms["set_by"] is None:
        return [name for name in names if await roles.permissions_of(tx, [name])]
    may = await standing.of_actor(tx, terms["set_by"]) or frozenset()
    found = [(name, await roles.permissions_of(tx, [name])) for name in names]
    return [name for name, given in found if given and covers_all(may, given)]


async def bring_up_to_date(tx: Transaction, terms: Row, link: UUID, user: UUID, values: frozenset[str]) -> None:
    """Give a member what the claim gives now, take what only the claim had given, and void the tokens that say more."""
    had = await upstream.given_roles(tx, link)
    if terms["roles_claim"] is None and not had:
        return
    wanted = mapped(terms, values)
    await roles.keep(tx, wanted)
    await accounts.lock_owners(tx)
    member = await accounts.find_member(tx, user, lock=True)
    granted = await within_limits(tx, terms, wanted)
    kept = [name for name in member["roles"] if name not in had]
    given = [name for name in granted if name not in kept]
    await upstream.set_given_roles(tx, link, given)
    await _change(tx, terms["id"], member, [*kept, *given])


async def take_back(tx: Transaction, links: Sequence[Row], *, still: Collection[str] = ()) -> None:
    """Take from members what a claim has given them by links that end, or by terms that give only `still` any more."""
    for link in links:
        lost = set(link["given_roles"]) - set(still)
        if lost:
            await accounts.lock_owners(tx)
            member = await accounts.find_member(tx, link["user_id"], lock=True)
            await upstream.set_given_roles(tx, link["id"], [name for name in link["given_roles"] if name not in lost])
            await _change(tx, link["provider_id"], member, [name for name in member["roles"] if name not in lost])


async def _change(tx: Transaction, provider: UUID, member: Row, names: Sequence[str]) -> None:
    if set(names) == set(member["roles"]):
        return
    before, after = [await roles.permissions_of(tx, each) for each in (member["roles"], names)]
    await lessening.of_user(tx, member["id"], before, after)
    await accounts.change_member(tx, member["id"], roles=list(names))
    said = {"roles": list(names), "by_provider": str(provider)}
    changed = UserChanged(user_id=member["id"], before={"roles": list(member["roles"])}, after=said)
    await tx.emit("user.updated", changed, entity=member["id"])
