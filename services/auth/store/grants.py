"""Grants, refresh tokens, revocations; OAuth2 clients and their secrets.

Rows are locked in one order, so that nobody waits for who waits for them: roles, members, clients, grants.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, insert, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from libs.common.database.transaction import Row, Transaction
from libs.common.errors import NotFound
from services.auth.store.tables import client, client_secret, grant, refresh_token, revocation

_G, _T, _C, _S = grant.c, refresh_token.c, client.c, client_secret.c
GRANT = (_G.id, _G.subject, _G.method, _G.address, _G.created_at, _G.last_used_at, _G.expires_at, _G.revoked_at,
         _G.client_id, _G.scope, _G.jkt, _G.resource, _G.auth_time, _G.amr)  # fmt: skip
GRANTS = select(*GRANT)
CLIENT = (_C.id, _C.name, _C.roles, _C.revision, _C.created_at, _C.kind, _C.grant_types, _C.redirect_uris, _C.scopes,
          _C.jwks, _C.jwks_uri, _C.require_par, _C.dpop, _C.dpop_nonce, _C.post_logout_redirect_uris,
          _C.id_token_signed_response_alg, _C.owner_id)  # fmt: skip
CLIENTS = select(*CLIENT)


async def add_grant(
    tx: Transaction,
    id: UUID,  # noqa: A002
    subject: str,
    method: str,
    expires_at: datetime | None,
    **given: Any,
) -> None:
    """Add a grant for a user or a client; `given` are the client that the user gave it to, its scope and its key."""
    now = tx.context.now
    values = {"tenant_id": tx.tenant_id, "id": id, "subject": subject, "method": method, "address": tx.context.address}
    await tx.execute(insert(grant).values(**values, created_at=now, last_used_at=now, expires_at=expires_at, **given))


async def find_grant(tx: Transaction, id: UUID) -> Row | None:  # noqa: A002
    """Return a grant, or None where the tenant has no such grant."""
    return await tx.row(GRANTS.where(_G.id == id))


async def lock_grant(tx: Transaction, id: UUID) -> Row | None:  # noqa: A002
    """Return a grant, locked: of parallel refreshes one goes on and the others wait."""
    return await tx.row(GRANTS.where(_G.id == id).with_for_update())


async def live_grants(tx: Transaction, subject: str) -> Sequence[Row]:
    """Return the subject's grants that are neither revoked nor expired, locked."""
    alive = or_(_G.expires_at.is_(None), _G.expires_at > tx.context.now)
    statement = GRANTS.where(_G.subject == subject, _G.revoked_at.is_(None), alive)
    return await tx.rows(statement.order_by(_G.id).with_for_update())


async def grants_given_to(tx: Transaction, client_id: UUID) -> Sequence[Row]:
    """Return the grants that users gave to a client and that are not revoked, locked."""
    statement = GRANTS.where(_G.client_id == client_id, _G.revoked_at.is_(None))
    return await tx.rows(statement.order_by(_G.id).with_for_update())


async def touch_grant(tx: Transaction, id: UUID) -> None:  # noqa: A002
    """Note that a grant was used now."""
    await tx.execute(update(grant).where(_G.tenant_id == tx.tenant_id, _G.id == id).values(last_used_at=tx.context.now))


async def end_grant(tx: Transaction, id: UUID, until: datetime) -> None:  # noqa: A002
    """Mark a grant revoked, and its access tokens void until they are dead on their own."""
    now = tx.context.now
    statement = update(grant).where(_G.tenant_id == tx.tenant_id, _G.id == id)
    await tx.execute(statement.values(revoked_at=now, expires_at=now))
    entry = upsert(revocation).values(tenant_id=tx.tenant_id, grant_id=id, until=until)
    await tx.execute(entry.on_conflict_do_nothing())


async def add_refresh_token(tx: Transaction, grant_id: UUID, digest: bytes, expires_at: datetime) -> None:
    """Keep the hash of a refresh token."""
    values = {"tenant_id": tx.tenant_id, "grant_id": grant_id, "sha256": digest}
    await tx.execute(insert(refresh_token).values(**values, created_at=tx.context.now, expires_at=expires_at))


async def find_refresh_token(tx: Transaction, grant_id: UUID, digest: bytes) -> Row | None:
    """Return a refresh token of a grant by its hash."""
    return await tx.row(
        select(_T.created_at, _T.expires_at, _T.used_at).where(_T.grant_id == grant_id, _T.sha256 == digest)
    )


async def use_refresh_token(tx: Transaction, grant_id: UUID, digest: bytes) -> None:
    """Mark a refresh token used; it stays, so that its reuse is seen."""
    statement = update(refresh_token).where(_T.tenant_id == tx.tenant_id, _T.grant_id == grant_id, _T.sha256 == digest)
    await tx.execute(statement.values(used_at=tx.context.now))


async def add_client(
    tx: Transaction,
    id: UUID,  # noqa: A002
    name: str,
    roles: Sequence[str],
    grant_id: UUID,
    **registered: Any,
) -> None:
    """Add a client; `registered` is what it may do beside its roles."""
    values = {"tenant_id": tx.tenant_id, "id": id, "name": name, "roles": list(roles), "grant_id": grant_id}
    await tx.execute(insert(client).values(**values, revision=1, created_at=tx.context.now, **registered))


async def find_presented_client(tx: Transaction, id: UUID) -> Row | None:  # noqa: A002
    """Return the client of whatever tenant that presents this id, with its tenant."""
    await tx.connection.execute("SELECT set_config('app.client_id', $1, true)", str(id))
    row = await tx.row(select(*CLIENT, _C.tenant_id, _C.grant_id).where(_C.id == id))
    await tx.connection.execute("SELECT set_config('app.client_id', '', true)")
    return row


async def find_client(tx: Transaction, id: UUID, *, lock: bool = False) -> Row:  # noqa: A002
    """Return a client.

    Raises:
        NotFound: the tenant has no such client.
    """
    row = await client_or_none(tx, id, lock=lock)
    if row is None:
        raise NotFound("There is no such client.")
    return row


async def client_or_none(tx: Transaction, id: UUID, *, lock: bool = False) -> Row | None:  # noqa: A002
    """Return a client, or None where the tenant has no such client."""
    statement = select(*CLIENT, _C.grant_id).where(_C.id == id)
    return await tx.row(statement.with_for_update() if lock else statement)


async def clients_of(tx: Transaction, owner_id: UUID) -> Sequence[Row]:
    """Return the clients that a user answers for, locked."""
    statement = select(*CLIENT, _C.grant_id).where(_C.owner_id == owner_id)
    return await tx.rows(statement.order_by(_C.id).with_for_update())


async def clients_with_role(tx: Transaction, name: str) -> Sequence[Row]:
    """Return the clients that have a role, locked."""
    statement = select(*CLIENT, _C.grant_id).where(_C.roles.contains([name]))
    return await tx.rows(statement.order_by(_C.id).with_for_update())


async def change_client(tx: Transaction, id: UUID, **values: Any) -> None:  # noqa: A002
    """Change a client and count the revision."""
    statement = update(client).where(_C.tenant_id == tx.tenant_id, _C.id == id)
    await tx.execute(statement.values(**values, revision=_C.revision + 1))


async def remove_client(tx: Transaction, id: UUID) -> None:  # noqa: A002
    """Remove a client with its secrets."""
    await tx.execute(delete(client).where(_C.tenant_id == tx.tenant_id, _C.id == id))


async def add_secret(tx: Transaction, client_id: UUID, digest: bytes) -> None:
    """Keep the hash of a client's secret."""
    values = {"tenant_id": tx.tenant_id, "client_id": client_id, "sha256": digest}
    await tx.execute(insert(client_secret).values(**values, created_at=tx.context.now))


async def end_secrets(tx: Transaction, client_id: UUID, at: datetime) -> None:
    """Let the client's secrets end at an instant, unless they end before."""
    sooner = or_(_S.expires_at.is_(None), _S.expires_at > at)
    statement = update(client_secret).where(_S.tenant_id == tx.tenant_id, _S.client_id == client_id, sooner)
    await tx.execute(statement.values(expires_at=at))


async def live_secrets(tx: Transaction, client_id: UUID) -> Sequence[bytes]:
    """Return the hashes of the secrets that the client may use now."""
    alive = or_(_S.expires_at.is_(None), _S.expires_at > tx.context.now)
    return [row["sha256"] for row in await tx.rows(select(_S.sha256).where(_S.client_id == client_id, alive))]
