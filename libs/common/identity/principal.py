from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from libs.common.errors import Forbidden


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks, as a verified token says: `subject` is `user:<id>` or `client:<id>`."""

    tenant_id: UUID
    subject: str
    grant_id: UUID
    permissions: frozenset[str]
    expires: datetime
    jkt: str | None = None
    """The key that the token is bound to (RFC 9449); without it, whoever has the token may use it."""
    nonce: bool = False
    """Whether the proofs that come with the token have to carry a nonce of ours."""
    owner: str | None = None
    """Who answers for a client, `user:<id>`, if anybody does."""
    paths: frozenset[str] | None = None
    """Where the token may be used; None: everywhere here."""

    def may(self, permission: str) -> bool:
        """Say whether the token carries a permission, `resource:action`; `resource:*` covers every action."""
        resource = permission.split(":", 1)[0]
        return permission in self.permissions or f"{resource}:*" in self.permissions

    def require(self, permission: str) -> None:
        """Refuse without the permission.

        Raises:
            Forbidden: names what is missing.
        """
        if not self.may(permission):
            raise Forbidden(f"This needs the permission {permission}.", extra={"permission": permission})


def parse_scope(scope: str | Iterable[str]) -> frozenset[str]:
    """Return the permissions of a token's `scope` claim (RFC 9068: names separated by spaces)."""
    return frozenset(scope.split() if isinstance(scope, str) else scope)
