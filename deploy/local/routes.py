"""Which service owns which path: the gateway's table."""

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Route:
    """A service and the paths it owns: prefixes by whole segments, and regular expressions where that is not enough."""

    service: str
    prefixes: tuple[str, ...]
    patterns: tuple[str, ...] = ()


# First match wins: what a report's record became is the runner's to answer, though reports are the catalog's.
ROUTES = (
    Route("runner", (), (r"^/v1/reports/[^/]+/records(/|$)",)),
    Route(
        "auth",
        (
            "/v1/auth",
            "/v1/challenge",
            "/v1/login",
            "/v1/logout",
            "/v1/grants",
            "/v1/setup",
            "/v1/tenants",
            "/v1/users",
            "/v1/me",
            "/v1/roles",
            "/v1/permissions",
            "/v1/sessions",
            "/account",
            "/setup",
            "/v1/signup",
            "/v1/password",
            "/v1/email",
            "/v1/invitations",
            "/v1/clients",
            "/v1/identity-providers",
            "/v1/keys",
            "/oauth2",
            "/.well-known",
        ),
    ),
    Route(
        "catalog",
        (
            "/v1/connectors",
            "/v1/schemas",
            "/v1/mappings",
            "/v1/reports",
            "/v1/destinations",
            "/v1/xsd-sets",
            "/v1/webhooks",
            "/v1/lineage",
            "/v1/packs",
            "/v1/policies",
            "/v1/catalog",
        ),
    ),
    Route("scheduler", ("/v1/schedules", "/v1/calendars", "/v1/firings", "/v1/obligations")),
    Route("runner", ("/v1/runs", "/v1/backtests", "/v1/artifacts", "/v1/deliveries")),
    Route(
        "validator",
        (
            "/v1/rules",
            "/v1/rules:try",
            "/v1/transforms",
            "/v1/transforms:try",
            "/v1/expressions",
            "/v1/exceptions",
            "/v1/indicators",
            "/v1/exceptions:assign",
            "/v1/exceptions:amend",
            "/v1/exceptions:waive",
            "/v1/exceptions:approve",
            "/v1/exceptions:resubmit",
            "/v1/validations",
            "/v1/amendments",
            "/v1/waivers",
            "/v1/resubmissions",
            "/v1/indicator-thresholds",
        ),
    ),
    Route("audit", ("/v1/audit",)),
)


def owner(path: str) -> str | None:
    """Return the service that the gateway sends `path` to, or None."""
    for route in ROUTES:
        if any(path == prefix or path.startswith(f"{prefix}/") for prefix in route.prefixes):
            return route.service
        if any(re.search(pattern, path) for pattern in route.patterns):
            return route.service
    return None
