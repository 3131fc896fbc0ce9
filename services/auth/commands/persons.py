"""What clients are told of a person, by scope (OpenID Connect Core, 5.4)."""

from typing import Any
from uuid import UUID

from libs.common.database.transaction import Transaction
from services.auth.store import people

_BY_SCOPE = {"profile": ("name",), "email": ("email", "email_verified")}
CLAIMS = tuple(name for names in _BY_SCOPE.values() for name in names)


async def claims(tx: Transaction, user_id: UUID, scope: frozenset[str]) -> dict[str, Any]:
    """Return what a scope lets a client know of a member: nothing without `openid`, or where they are gone."""
    names = [name for asked, told in _BY_SCOPE.items() if asked in scope for name in told]
    if "openid" not in scope or not names:
        return {}
    known = await people.profile(tx, user_id)
    return {} if known is None else {name: known[name] for name in names}
