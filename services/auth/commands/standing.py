"""What somebody may do at this moment: people by their roles, clients by theirs and never beyond whoever owns them."""

from uuid import UUID

from libs.common.database.transaction import Row, Transaction
from libs.common.identity.principal import Principal
from services.auth import protocol
from services.auth.commands import roles
from services.auth.protocol import OAuthError
from services.auth.store import accounts, grants


async def of_user(tx: Transaction, user_id: UUID, *, keep: bool = False) -> frozenset[str] | None:
    """Return what a member may do, or None where they or their tenant are shut out, or they are no member.

    `keep` makes whoever changes the member wait for this transaction, so that it sees what is granted here.
    """
    if (await accounts.find_tenant(tx))["status"] != "active":
        return None
    member = await accounts.member(tx, user_id, keep=keep)
    if member is None or member["status"] != "active":
        return None
    return await roles.permissions_of(tx, member["roles"])


async def of_client(tx: Transaction, client: Row) -> frozenset[str] | None:
    """Return what a client may do by its roles and its owner's, or None where its owner is shut out or gone."""
    held = await roles.permissions_of(tx, client["roles"])
    if client["owner_id"] is None:
        return held
    owner = await of_user(tx, client["owner_id"])
    return None if owner is None else protocol.common(held, owner)


async def require_answered_for(tx: Transaction, client: Row) -> None:
    """Refuse a client whose owner is shut out or gone, whoever it acts for, until somebody adopts it.

    Raises:
        OAuthError: it has an owner, and they are no longer let in.
    """
    if client["owner_id"] is not None and await of_user(tx, client["owner_id"]) is None:
        raise OAuthError("unauthorized_client", "whoever answers for this client is no longer let in")


async def behalf_of(tx: Transaction, client: Row) -> frozenset[str] | None:
    """Return what a client's tokens on its own behalf may say: the same within its scopes."""
    held = await of_client(tx, client)
    return held if held is None or client["scopes"] is None else protocol.common(held, client["scopes"])


async def of_actor(tx: Transaction, actor: str) -> frozenset[str] | None:
    """Return what somebody who did something before, `user:<id>` or `client:<id>`, may do now; None as above."""
    kind, _, id_ = actor.partition(":")
    if kind == "user":
        return await of_user(tx, UUID(id_))
    client = await grants.client_or_none(tx, UUID(id_))
    return None if client is None else await of_client(tx, client)


async def owner_for(tx: Transaction, caller: Principal) -> UUID | None:
    """Return who answers for a client that the caller registers: the caller, or whoever answers for the caller."""
    kind, _, id_ = caller.subject.partition(":")
    if kind == "user":
        return UUID(id_)
    owner: UUID | None = (await grants.find_client(tx, UUID(id_)))["owner_id"]
    return owner
