"""An account whose address nobody has proven yet is given to who has just read the address's mail.

Somebody else may have made it and know its password, or have set a factor up there. All that ends: the address's true
owner always wins.
"""

from dataclasses import replace
from uuid import UUID

from libs.common.database.transaction import Row, Transaction
from libs.common.events.auth import AccountChanged
from libs.common.ids import SYSTEM_TENANT
from services.auth.flows.office import end_logins
from services.auth.store import accounts, factors, links, people


def is_owners(person: Row) -> bool:
    """Say whether whoever knows the account's password is known to read its address's mail."""
    return person["email_proven_at"] is not None


def keeps_factors(person: Row) -> bool:
    """Say whether who reads an account's mail gets it with its second factors.

    Not where they may be somebody else's: nobody has proven the address, or the account has no password, since it came
    to be by a provider's word.
    """
    return is_owners(person) and person["password_hash"] is not None


async def clear_factors(tx: Transaction, user: UUID) -> None:
    """Remove the factors and the recovery codes of an account; whoever set them up may be somebody else."""
    for one in await factors.of_person(tx, user, lock=True):
        await factors.remove(tx, user, one["id"])
    await factors.replace_codes(tx, user, [])


async def take_over(tx: Transaction, user: UUID, password_hash: str | None) -> None:
    """Give an account to who read its mail, with a password of theirs or none; logins end in all of its tenants."""
    back = tx.context
    await tx.become(replace(back, tenant_id=SYSTEM_TENANT))
    await links.find_person(tx, user)
    await clear_factors(tx, user)
    if password_hash is None:
        await accounts.forget_password(tx, user)
    else:
        await accounts.set_password_hash(tx, user, password_hash, alone=True)
    await links.end_all(tx, user)
    await links.end_pending_logins(tx, user)
    await people.prove_email(tx, user)
    for membership in await accounts.own_memberships(tx, user):
        await tx.become(replace(back, tenant_id=membership["tenant_id"], actor=f"user:{user}"))
        await end_logins(tx, user)
        await tx.emit("account.password", AccountChanged(user_id=user), entity=user)
    await tx.become(back)
