"""When somebody may do less than before, tokens that say otherwise are void at once: theirs and those of their clients."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from libs.common.database.transaction import Row, Transaction
from services.auth import protocol
from services.auth.commands import grants as grant_commands
from services.auth.commands import roles, standing
from services.auth.permissions import covers_all
from services.auth.store import accounts, grants


async def shut_out(tx: Transaction, user_id: UUID) -> None:
    """Void all that a user holds, what they gave to clients, and what their own clients hold, whoever gave it.

    Whoever wants their clients to go on adopts them before.
    """
    clients = await grants.clients_of(tx, user_id)
    await grant_commands.revoke_all(tx, f"user:{user_id}", "disabled")
    for client in clients:
        await grant_commands.revoke_one(tx, client["grant_id"], "disabled")
        for given in await grants.grants_given_to(tx, client["id"]):
            await grant_commands.revoke(tx, given, "disabled")


async def of_user(tx: Transaction, user_id: UUID, before: frozenset[str], after: frozenset[str]) -> None:
    """Void what a user's tokens, and those of their clients, may do no longer; a client goes on with what is left."""
    if covers_all(after, before):
        return
    clients = await grants.clients_of(tx, user_id)
    for grant in await grants.live_grants(tx, f"user:{user_id}"):
        had, has = (protocol.permitted(held, grant["scope"]) for held in (before, after))
        if not covers_all(has, had):
            await grant_commands.revoke(tx, grant, "revoked")
    for client in clients:
        held = await roles.permissions_of(tx, client["roles"])
        if not covers_all(protocol.common(held, after), protocol.common(held, before)):
            await grant_commands.revoke_one(tx, client["grant_id"], "revoked")


async def of_client(tx: Transaction, id: UUID, before: frozenset[str] | None) -> None:  # noqa: A002
    """Void a changed client's own tokens if they may say more than it may do now."""
    client = await grants.find_client(tx, id, lock=True)
    after = await standing.behalf_of(tx, client)
    if before is not None and (after is None or not covers_all(after, before)):
        await grant_commands.revoke_one(tx, client["grant_id"], "revoked")


@dataclass(frozen=True, slots=True)
class Holders:
    """Who has a role of the tenant's own, locked, with what they could do while it was as it was."""

    members: Sequence[Row]
    users: Mapping[UUID, frozenset[str]]
    clients: Mapping[UUID, frozenset[str] | None]

    @classmethod
    async def of(cls, tx: Transaction, name: str) -> "Holders":
        """Look before the role changes; from now on nobody of them logs in until it has."""
        members = await accounts.members_with_role(tx, name)
        users = {row["id"]: await roles.permissions_of(tx, row["roles"]) for row in members}
        found = await grants.clients_with_role(tx, name)
        return cls(members, users, {row["id"]: await standing.behalf_of(tx, row) for row in found})

    async def lessened(self, tx: Transaction) -> None:
        """Void what the role gives no longer, after it has changed."""
        for member in self.members:
            await of_user(tx, member["id"], self.users[member["id"]], await roles.permissions_of(tx, member["roles"]))
        for id_, held in self.clients.items():
            await of_client(tx, id_, held)
