"""On what terms a tenant lets people in by an identity provider, and when they make sense."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from libs.common.errors import FieldProblem, Invalid

_DOMAIN = re.compile(r"(?=.{4,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]")
_WORD = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,200}")
TWO_FACTORS = "mfa"
"""What `amr` says of a login by several factors (RFC 8176)."""


@dataclass(frozen=True, slots=True)
class Terms:
    """A provider as its tenant registers it, beside issuer and secret."""

    name: str
    client_id: str
    scopes: Sequence[str] = ("openid", "email", "profile")
    domains: Sequence[str] = ()
    provisions: bool = False
    roles: Sequence[str] = ()
    trusts_second_factor: bool = False
    acr_values: Sequence[str] = ()
    roles_claim: str | None = None
    claimed_roles: Mapping[str, Sequence[str]] = field(default_factory=dict)
    enabled: bool = True

    def given_by_claim(self) -> set[str]:
        """Return every role that some value of the claim gives."""
        return {name for names in self.claimed_roles.values() for name in names}

    def all_roles(self) -> list[str]:
        """Return every role that somebody can get by these terms, once each."""
        return sorted({*self.roles, *self.given_by_claim()})

    def values(self) -> dict[str, Any]:
        """Return the columns."""
        return {name: list(value) if isinstance(value, tuple | list) else value for name, value in asdict(self).items()}

    def require_sound(self) -> None:
        """Refuse what contradicts itself.

        Raises:
            Invalid: names the fields.
        """
        faults = [FieldProblem(field, text) for field, text, wrong in self._checks() if wrong]
        faults += [
            FieldProblem(f"/domains/{position}", "is no domain in lower case, like example.com")
            for position, domain in enumerate(self.domains)
            if not _DOMAIN.fullmatch(domain)
        ]
        faults += [
            FieldProblem(f"/{field}/{position}", "holds a space or a character that has no place in it")
            for field in ("scopes", "acr_values")
            for position, word in enumerate(getattr(self, field))
            if not _WORD.fullmatch(word)
        ]
        if faults:
            raise Invalid("The identity provider cannot be registered like this.", fields=faults)

    def _checks(self) -> list[tuple[str, str, bool]]:
        return [
            ("/scopes", "needs openid: without it there is no ID token", "openid" not in self.scopes),
            ("/domains", "name at least one where people become members by themselves", self.provisions and not self.domains),
            ("/roles", "name at least one where people become members by themselves", self.provisions and not self.roles),
            ("/acr_values", "means nothing where our second factor is asked for anyway",
             bool(self.acr_values) and not self.trusts_second_factor),
            ("/roles_claim", "name the claim whose values give roles", bool(self.claimed_roles) and not self.roles_claim),
            ("/claimed_roles", "no claim makes an owner: a tenant would depend on its provider",
             any("owner" in names for names in self.claimed_roles.values())),
        ]  # fmt: skip
