"""Where an access token may be used: its `aud` (RFC 9068), by the resources that were asked for (RFC 8707).

A resource is the API as a whole, by its public URL, or one collection of it: `<public URL>/v1/runs`. A token for which
no resource was asked says `regent`: it is good everywhere here.
"""

from collections.abc import Sequence

EVERYWHERE = "regent"
COLLECTIONS = frozenset({
    "amendments", "artifacts", "audit", "backtests", "calendars", "catalog", "clients", "connectors", "deliveries", "destinations",
    "email", "exceptions", "expressions", "firings", "grants", "identity-providers", "indicator-thresholds", "indicators", "invitations",
    "keys", "lineage", "logout", "mappings", "me",
    "obligations", "packs", "password", "permissions", "policies", "reports", "resubmissions", "roles", "rules", "runs", "schedules",
    "schemas", "sessions", "tenants", "transforms", "users", "validations", "waivers", "webhooks", "xsd-sets",
})  # fmt: skip
"""The collections below `/v1` that ask for a token."""


def path_of(resource: str, issuer: str) -> str:
    """Return the path that a resource limits a token to; the empty one is the whole API.

    Raises:
        ValueError: it is no resource of ours.
    """
    if resource in (issuer, f"{issuer}/"):
        return ""
    path = resource.removeprefix(issuer)
    if path == resource or not path.startswith("/v1/") or path.removeprefix("/v1/") not in COLLECTIONS:
        raise ValueError("no resource of ours")
    return path


def paths_of(audience: str | Sequence[str], issuer: str) -> frozenset[str] | None:
    """Return the paths that an audience limits a token to; None where it is good everywhere.

    Raises:
        ValueError: a part of it is not ours.
    """
    if audience == EVERYWHERE:
        return None
    named = (audience,) if isinstance(audience, str) else audience
    paths = frozenset(path_of(one, issuer) for one in named)
    if not paths:
        raise ValueError("nobody is meant")
    return None if "" in paths else paths


def reaches(paths: frozenset[str] | None, path: str) -> bool:
    """Say whether a token that is limited to `paths` may be used at `path`."""
    return paths is None or any(path.startswith(one) and path[len(one) :][:1] in ("", "/", ":") for one in paths)
