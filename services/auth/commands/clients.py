"""OAuth2 clients: a customer's systems, each with a secret that is shown once."""

import hmac
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from libs.common.database.transaction import Row, Transaction
from libs.common.errors import Conflict
from libs.common.events.auth import ClientChanged, SessionOpened
from libs.common.http.door import require_revision
from libs.common.identity.principal import Principal
from services.auth import domain, opaque
from services.auth.commands import grants as grant_commands
from services.auth.commands import lessening, roles, standing
from services.auth.registration import Registration
from services.auth.store import grants

PREFIX = "cs_"


async def create(tx: Transaction, caller: frozenset[str], name: str, names: Sequence[str]) -> tuple[UUID, str]:
    """Add a client that has a secret; returns its id and the secret, which nobody can read again.

    Raises:
        Invalid: a role does not exist.
        Forbidden: a role is not the caller's to give.
    """
    id_ = await register(tx, caller, name, names, Registration())
    return id_, await give_secret(tx, id_)


async def register(
    tx: Transaction,
    caller: frozenset[str],
    name: str,
    names: Sequence[str],
    registration: Registration,
    owner: UUID | None = None,
) -> UUID:
    """Add a client without a secret; returns its id. It may never do more than its owner may, if it has one.

    Raises:
        Invalid: a role does not exist, or the registration contradicts itself.
        Forbidden: a role is not the caller's to give.
    """
    registration.require_sound()
    domain.require_assignable(caller, await roles.require_roles(tx, names))
    id_, grant_id = uuid4(), uuid4()
    await grants.add_grant(tx, grant_id, f"client:{id_}", "client_credentials", None)
    await grants.add_client(tx, id_, name, names, grant_id, owner_id=owner, **registration.values())
    after = {"roles": list(names), **_told(registration), **({"owner_id": str(owner)} if owner else {})}
    await tx.emit("client.created", ClientChanged(client_id=id_, name=name, after=after), entity=id_)
    return id_


async def give_secret(tx: Transaction, id: UUID) -> str:  # noqa: A002
    """Give a client a secret, beside those that it has."""
    secret = opaque.new_secret(PREFIX)
    await grants.add_secret(tx, id, opaque.digest(secret))
    return secret


def registration_of(row: Row) -> Registration:
    """Return what a client is registered as."""
    return Registration(**{name: row[name] for name in Registration().values()})


def _told(registration: Registration) -> dict[str, Any]:
    return {name: value for name, value in registration.values().items() if name != "jwks"}


async def change(
    tx: Transaction,
    caller: Principal,
    id: UUID,  # noqa: A002
    revision: int,
    name: str,
    names: Sequence[str],
    registration: Registration | None = None,
) -> None:
    """Give a client another name, other roles or another registration.

    What users granted it before goes with a registration that lets it do less, its own tokens with roles that do.

    Raises:
        NotFound, PreconditionFailed, Invalid, Forbidden: as for `create`.
    """
    await roles.keep(tx, names)
    row = await grants.find_client(tx, id, lock=True)
    require_revision(revision, row["revision"])
    before, after = await roles.permissions_of(tx, row["roles"]), await roles.require_roles(tx, names)
    domain.require_assignable(caller.permissions, after, before)
    following = registration or registration_of(row)
    following.require_sound()
    held = await standing.behalf_of(tx, row)
    await grants.change_client(tx, id, name=name, roles=list(names), **following.values())
    if _lessens(registration_of(row), following):
        await _revoke_given(tx, id, "revoked")
    await lessening.of_client(tx, id, held)
    await _say(tx, "client.updated", id, row, {"name": name, "roles": list(names), **_told(following)})


async def adopt(tx: Transaction, caller: Principal, id: UUID) -> None:  # noqa: A002
    """Answer for a client from now on.

    Raises:
        NotFound: there is no such client.
        Forbidden: the client may do more than the caller.
    """
    owner = await standing.owner_for(tx, caller)
    row = await grants.find_client(tx, id, lock=True)
    domain.require_assignable(caller.permissions, await roles.permissions_of(tx, row["roles"]))
    await grants.change_client(tx, id, owner_id=owner)
    await _say(tx, "client.updated", id, row, {"owner_id": str(owner) if owner else None})


def _lessens(before: Registration, after: Registration) -> bool:
    """Say whether grants that users gave rest on what is registered no more."""
    lost = bool(set(before.grant_types) - set(after.grant_types) | set(before.scopes or ()) - set(after.scopes or ()))
    return lost or before.kind != after.kind or (after.dpop and not before.dpop)


async def _revoke_given(tx: Transaction, id: UUID, reason: grant_commands.Reason) -> None:  # noqa: A002
    for grant in await grants.grants_given_to(tx, id):
        await grant_commands.revoke(tx, grant, reason)


async def rotate(tx: Transaction, caller: Principal, id: UUID, overlap: timedelta) -> str:  # noqa: A002
    """Give a client another secret and return it; the earlier ones work for `overlap` longer.

    Without an overlap its tokens are void as well.

    Raises:
        NotFound: there is no such client.
        Forbidden: the client may do more than the caller.
        Conflict: it has no secret to rotate.
    """
    row = await grants.find_client(tx, id, lock=True)
    domain.require_assignable(caller.permissions, await roles.permissions_of(tx, row["roles"]))
    if not registration_of(row).has_secret:
        raise Conflict("This client authenticates without a secret.", type="client-without-secret")
    await grants.end_secrets(tx, id, tx.context.now + overlap)
    secret = await give_secret(tx, id)
    if not overlap:
        await grant_commands.revoke_one(tx, row["grant_id"], "secret-rotated")
        await _revoke_given(tx, id, "secret-rotated")
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
    await _revoke_given(tx, id, "deleted")
    await grants.remove_client(tx, id)
    await grant_commands.revoke_all(tx, f"client:{id}", "deleted")
    await _say(tx, "client.deleted", id, row, None)


async def authenticate(tx: Transaction, client: Row, secret: str) -> bool:
    """Say whether a secret is one that the client of this tenant may use now."""
    given = opaque.digest(secret)
    matches = [hmac.compare_digest(given, kept) for kept in await grants.live_secrets(tx, client["id"])]
    return any(matches)


async def enter(tx: Transaction, client: Row, scope: str | None) -> grant_commands.Entry:
    """Let an authenticated client in.

    Raises:
        OAuthError: its owner is shut out, or gone.
        Invalid: the scope asks for more than the client's roles, and those of its owner, allow.
    """
    await standing.require_answered_for(tx, client)
    held = domain.narrowed(await standing.behalf_of(tx, client) or frozenset(), scope)
    subject, grant_id = f"client:{client['id']}", client["grant_id"]
    await grants.touch_grant(tx, grant_id)
    opened = SessionOpened(grant_id=grant_id, subject=subject, method="client_credentials", address=tx.context.address)
    await tx.emit("session.opened", opened, entity=grant_id)
    return grant_commands.Entry(subject, grant_id, held, owner=client["owner_id"])


async def _say(tx: Transaction, event: str, id: UUID, row: Row, after: dict[str, Any] | None) -> None:  # noqa: A002
    before = {"name": row["name"], "roles": list(row["roles"])} if event != "client.rotated" else None
    await tx.emit(event, ClientChanged(client_id=id, name=row["name"], before=before, after=after), entity=id)
