"""OAuth2 clients: a customer's systems, each with a secret that is shown once."""

import hmac
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from libs.common.database.transaction import Row, Transaction
from libs.common.events.auth import ClientChanged, SessionOpened
from libs.common.http.door import require_revision
from libs.common.identity.principal import Principal
from services.auth import domain, opaque
from services.auth.commands import grants as grant_commands
from services.auth.commands import roles
from services.auth.store import accounts, grants

PREFIX = "cs_"


async def create(tx: Transaction, caller: frozenset[str], name: str, names: Sequence[str]) -> tuple[UUID, str]:
    """Add a client; returns its id and its secret, which nobody can read again.

    Raises:
        Invalid: a role does not exist.
        Forbidden: a role is not the caller's to give.
    """
    domain.require_assignable(caller, await roles.require_roles(tx, names))
    id, grant_id, secret = uuid4(), uuid4(), opaque.new_secret(PREFIX)  # noqa: A001
    await grants.add_grant(tx, grant_id, f"client:{id}", "client_credentials", None)
    await grants.add_client(tx, id, name, names, grant_id)
    await grants.add_secret(tx, id, opaque.digest(secret))
    await tx.emit("client.created", ClientChanged(client_id=id, name=name, after={"roles": list(names)}), entity=id)
    return id, secret


async def change(
    tx: Transaction,
    caller: Principal,
    id: UUID,  # noqa: A002
    revision: int,
    name: str,
    names: Sequence[str],
) -> None:
    """Give a client another name or other roles.

    Raises:
        NotFound, PreconditionFailed, Invalid, Forbidden: as for `create`.
    """
    row = await grants.find_client(tx, id, lock=True)
    require_revision(revision, row["revision"])
    before = await roles.permissions_of(tx, row["roles"])
    domain.require_assignable(caller.permissions, await roles.require_roles(tx, names), before)
    await grants.change_client(tx, id, name=name, roles=list(names))
    await _say(tx, "client.updated", id, row, {"name": name, "roles": list(names)})


async def rotate(tx: Transaction, caller: Principal, id: UUID, overlap: timedelta) -> str:  # noqa: A002
    """Give a client another secret and return it; the earlier ones work for `overlap` longer.

    Without an overlap its tokens are void as well.

    Raises:
        NotFound: there is no such client.
        Forbidden: the client may do more than the caller.
    """
    row = await grants.find_client(tx, id, lock=True)
    domain.require_assignable(caller.permissions, await roles.permissions_of(tx, row["roles"]))
    secret = opaque.new_secret(PREFIX)
    await grants.end_secrets(tx, id, tx.context.now + overlap)
    await grants.add_secret(tx, id, opaque.digest(secret))
    if not overlap:
        await grant_commands.revoke_one(tx, row["grant_id"], "secret-rotated")
    await _say(tx, "client.rotated", id, row, {"overlap_seconds": int(overlap.total_seconds())})
    return secret


async def remove(tx: Transaction, caller: Principal, id: UUID) -> None:  # noqa: A002
    """Remove a client and void its tokens.

    Raises:
        NotFound: there is no such client.
        Forbidden: the client may do more than the caller.
    """
    row = await grants.find_client(tx, id, lock=True)
    domain.require_assignable(caller.permissions, await roles.permissions_of(tx, row["roles"]))
    await grants.remove_client(tx, id)
    await grant_commands.revoke_all(tx, f"client:{id}", "deleted")
    await _say(tx, "client.deleted", id, row, None)


async def authenticate(tx: Transaction, client: Row, secret: str) -> bool:
    """Say whether a secret is one that the client of this tenant may use now, in a tenant that is not suspended."""
    given = opaque.digest(secret)
    matches = [hmac.compare_digest(given, kept) for kept in await grants.live_secrets(tx, client["id"])]
    active = (await accounts.find_tenant(tx))["status"] == "active"
    return any(matches) and active


async def enter(tx: Transaction, client: Row, scope: str | None) -> grant_commands.Entry:
    """Let an authenticated client in.

    Raises:
        Invalid: the scope asks for more than the client's roles allow.
    """
    held = domain.narrowed(await roles.permissions_of(tx, client["roles"]), scope)
    subject, grant_id = f"client:{client['id']}", client["grant_id"]
    await grants.touch_grant(tx, grant_id)
    opened = SessionOpened(grant_id=grant_id, subject=subject, method="client_credentials", address=tx.context.address)
    await tx.emit("session.opened", opened, entity=grant_id)
    return grant_commands.Entry(subject, grant_id, held)


async def _say(tx: Transaction, event: str, id: UUID, row: Row, after: dict[str, Any] | None) -> None:  # noqa: A002
    before = {"name": row["name"], "roles": list(row["roles"])} if event != "client.rotated" else None
    await tx.emit(event, ClientChanged(client_id=id, name=row["name"], before=before, after=after), entity=id)
