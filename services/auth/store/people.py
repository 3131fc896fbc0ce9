"""What is known of people beyond their login: whether an address is theirs, and what clients are told of them."""

from uuid import UUID

from sqlalchemy import and_, exists, or_, select, update

from libs.common.database.transaction import Row, Transaction
from services.auth.store.tables import identity, membership
from services.auth.store.upstream import upstream_identity

_I, _M, _U = identity.c, membership.c, upstream_identity.c


async def prove_email(tx: Transaction, user_id: UUID) -> None:
    """Note that a person has just used a link that came by the mail of the address that they have."""
    await tx.execute(update(identity).where(_I.id == user_id).values(email_proven_at=tx.context.now))


async def profile(tx: Transaction, user_id: UUID) -> Row | None:
    """Return a member's name, address and whether it is theirs for sure; None where there is no such member.

    Sure is what a link by our own mail has shown, or, in the tenant of an identity provider, that provider's word.
    """
    vouched = exists().where(and_(_U.tenant_id == _M.tenant_id, _U.user_id == _M.id, _U.verified_email == _I.email))
    verified = or_(_I.email_proven_at.is_not(None), vouched).label("email_verified")
    joined = membership.join(identity, _I.id == _M.id)
    return await tx.row(select(_M.name, _I.email, verified).select_from(joined).where(_M.id == user_id))
