"""What clients ask about tokens: whether one is good, and to make one void. Nobody learns of others' tokens."""

from contextlib import suppress
from typing import Any

from libs.common.database.transaction import Row, Transaction
from libs.common.errors import Conflict
from libs.common.identity.principal import Principal
from services.auth.commands import grants as grant_commands
from services.auth.commands import standing
from services.auth.opaque import RefreshToken
from services.auth.permissions import covers
from services.auth.protocol import OAuthError
from services.auth.store import grants

_INSPECTS = "grant:read"


async def revoke(tx: Transaction, client: Row, refresh: RefreshToken | None, access: Principal | None) -> None:
    """Void the grant behind a client's own token (RFC 7009); a token that is good for nothing needs no revoking.

    Raises:
        OAuthError: the token is another's (2.1); it stays as it is.
    """
    found = await _grant_of(tx, refresh, access)
    if found is None or found["revoked_at"] is not None:
        return
    if not _is_own(client, found):
        raise OAuthError("invalid_grant", "the token was issued to another client")
    with suppress(Conflict):  # somebody else has revoked it a moment ago
        await grant_commands.revoke_one(tx, found["id"], "revoked")


async def inspect(
    tx: Transaction, client: Row, refresh: RefreshToken | None, access: Principal | None
) -> dict[str, Any] | None:
    """Return what a good token says beside its claims (RFC 7662), or None where there is nothing to say.

    A client sees its own tokens; one whose roles let it read grants is a resource server, and sees its tenant's.
    """
    found = await _grant_of(tx, refresh, access)
    if found is None or found["revoked_at"] is not None:
        return None
    if not _is_own(client, found) and not covers(await standing.of_client(tx, client) or frozenset(), _INSPECTS):
        return None
    if refresh is None:
        return {}
    token = await grants.find_refresh_token(tx, refresh.grant_id, refresh.digest)
    if token is None or token["used_at"] is not None or token["expires_at"] <= tx.context.now:
        return None
    return {
        "sub": found["subject"],
        "client_id": str(found["client_id"] or "regent"),
        "tenant_id": str(tx.tenant_id),
        "iat": int(token["created_at"].timestamp()),
        "exp": int(token["expires_at"].timestamp()),
        **({"scope": " ".join(sorted(found["scope"]))} if found["scope"] else {}),
    }


async def _grant_of(tx: Transaction, refresh: RefreshToken | None, access: Principal | None) -> Row | None:
    if refresh is not None and refresh.tenant_id == tx.tenant_id:
        known = await grants.find_refresh_token(tx, refresh.grant_id, refresh.digest)
        return await grants.find_grant(tx, refresh.grant_id) if known else None
    if access is not None and access.tenant_id == tx.tenant_id:
        return await grants.find_grant(tx, access.grant_id)
    return None


def _is_own(client: Row, grant: Row) -> bool:
    return bool(grant["client_id"] == client["id"]) or bool(grant["subject"] == f"client:{client['id']}")
