"""Links between people at identity providers and users here: made on three grounds only, never by an address alone."""

from typing import Literal
from uuid import UUID, uuid4

from libs.common.database.transaction import Transaction
from libs.common.errors import Conflict, NotFound
from libs.common.events.auth import IdentityLinked
from services.auth.commands import providers
from services.auth.store import upstream
from services.auth.upstream import claimed

Ground = Literal["confirmed", "invited", "provisioned"]


async def link(tx: Transaction, provider_id: UUID, subject: str, user_id: UUID, how: Ground) -> UUID:
    """Link somebody at a provider to a user; returns the link's id.

    Raises:
        Conflict: either is linked there already.
    """
    id_ = uuid4()
    if not await upstream.link(tx, id_, provider_id, subject, user_id):
        known = await upstream.find(tx, provider_id, subject)
        if known is not None and known["user_id"] == user_id:
            raise Conflict("You are linked already: log in by this provider.", type="identity-linked")
        raise Conflict(
            "This provider's account is another user's here, or you are linked to another account there. Unlink first.",
            type="identity-linked",
        )
    said = IdentityLinked(identity_id=id_, provider_id=provider_id, user_id=user_id, how=how)
    await tx.emit("identity.linked", said, entity=user_id)
    return id_


async def unlink(tx: Transaction, id: UUID, **whose: UUID) -> None:  # noqa: A002
    """Remove a link of a user's (`user_id`) or a provider's (`provider_id`); what came of logins by it ends.

    Raises:
        NotFound: there is no such link.
    """
    gone = await upstream.unlink(tx, id, **whose)
    if gone is None:
        raise NotFound("There is no such link.")
    await providers.end_logins(tx, [gone["id"]])
    await claimed.take_back(tx, [gone])
    said = IdentityLinked(identity_id=gone["id"], provider_id=gone["provider_id"], user_id=gone["user_id"])
    await tx.emit("identity.unlinked", said, entity=gone["user_id"])
