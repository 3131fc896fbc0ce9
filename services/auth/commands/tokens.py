"""What clients ask about tokens: whether one is good, and to make one void. Nobody learns of others' tokens."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from joserfc import jws

from libs.common.database.transaction import Row, Transaction
from libs.common.errors import Conflict
from libs.common.identity.principal import Principal
from services.auth.commands import grants as grant_commands
from services.auth.commands import standing
from services.auth.opaque import RefreshToken
from services.auth.permissions import covers
from services.auth.store import grants

_INSPECTS = "grant:read"


@dataclass(frozen=True, slots=True)
class Known:
    """A token whose grant lives, as the core asks about it: a refresh token's row, or an access token's text."""

    grant: Row
    tenant_id: UUID
    now: datetime
    refresh: Row | None
    text: str

    def check_client(self, client: Any) -> bool:
        """Say whether the token is the client's own."""
        return _is_own(client.row, self.grant)

    def is_expired(self) -> bool:
        """Say whether it means nothing any more; an access token was verified before."""
        refresh = self.refresh
        return refresh is not None and (refresh["used_at"] is not None or refresh["expires_at"] <= self.now)

    def is_revoked(self) -> bool:
        """Say no: what is revoked is not found."""
        return False

    def told(self, issuer: str) -> dict[str, Any]:
        """Return what it says (RFC 7662, 2.2)."""
        if self.refresh is None:
            claims: dict[str, Any] = orjson.loads(jws.extract_compact(self.text.encode()).payload)
            return {**claims, "token_type": "DPoP" if "cnf" in claims else "Bearer"}
        return {
            "iss": issuer,
            "sub": self.grant["subject"],
            "client_id": str(self.grant["client_id"] or "regent"),
            "tenant_id": str(self.tenant_id),
            "iat": int(self.refresh["created_at"].timestamp()),
            "exp": int(self.refresh["expires_at"].timestamp()),
            **({"scope": " ".join(sorted(self.grant["scope"]))} if self.grant["scope"] else {}),
        }


async def find(tx: Transaction, text: str, access: Principal | None) -> Known | None:
    """Return what a token of the tenant is, or None where nothing lives behind it; `access` is what its text proves."""
    refresh, row, found = RefreshToken.read(text), None, None
    if refresh is not None and refresh.tenant_id == tx.tenant_id:
        row = await grants.find_refresh_token(tx, refresh.grant_id, refresh.digest)
        found = await grants.find_grant(tx, refresh.grant_id) if row else None
    elif access is not None and access.tenant_id == tx.tenant_id:
        found = await grants.find_grant(tx, access.grant_id)
    if found is None or found["revoked_at"] is not None:
        return None
    return Known(found, tx.tenant_id, tx.context.now, row, text)


async def revoke(tx: Transaction, token: Known) -> None:
    """Void the grant behind a client's own token (RFC 7009)."""
    with suppress(Conflict):  # somebody else has revoked it a moment ago
        await grant_commands.revoke_one(tx, token.grant["id"], "revoked")


async def may_know(tx: Transaction, client: Row, token: Known) -> bool:
    """Say whether a client may know what a token says (RFC 7662).

    A client sees its own tokens; one whose roles let it read grants is a resource server, and sees its tenant's.
    """
    return _is_own(client, token.grant) or covers(await standing.of_client(tx, client) or frozenset(), _INSPECTS)


def _is_own(client: Row, grant: Row) -> bool:
    return bool(grant["client_id"] == client["id"]) or bool(grant["subject"] == f"client:{client['id']}")
