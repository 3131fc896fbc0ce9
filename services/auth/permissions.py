"""What can be allowed, and the roles that every tenant has from the start.

A permission is `resource:action`; `resource:*` is every action on the resource. Tokens carry permissions, never roles.
"""

from collections.abc import Mapping

_DEFINED = ("read", "write", "publish", "approve")

CATALOGUE: Mapping[str, tuple[str, ...]] = {
    "connector": _DEFINED,
    "schema": _DEFINED,
    "mapping": _DEFINED,
    "xsd_set": _DEFINED,
    "report": _DEFINED,
    "destination": _DEFINED,
    "rule": _DEFINED,
    "schedule": ("read", "write"),
    "calendar": _DEFINED,
    "secret": ("write",),
    "policy": ("read", "write"),
    "run": ("read", "start", "cancel"),
    "backtest": ("read", "start"),
    "artifact": ("read",),
    "indicator": ("read", "write"),
    "exception": ("read", "write", "approve", "policy"),
    "audit": ("read", "export", "verify"),
    "user": ("read", "write"),
    "role": ("read", "write"),
    "client": ("read", "write"),
    "grant": ("read", "revoke"),
    "identity_provider": ("read", "write"),
    "tenant": ("read", "write"),
    "platform": ("tenants", "keys"),
}
"""Every resource with its actions; each opens a route, and a test looks whether that is so."""

_DEFINITIONS = ("connector", "schema", "mapping", "xsd_set", "report", "destination", "rule", "schedule", "calendar")
_WORK = ("run", "backtest", "artifact", "exception", "indicator")
_PEOPLE = ("user", "role", "client", "grant", "identity_provider")
PLATFORM = "platform"
READING = ("read", "export", "verify")
"""Actions that change nothing; an auditor and a viewer have no others."""
JUDGING = ("publish", "approve")
"""Actions by which somebody lets others' work count."""


def _all(*resources: str) -> frozenset[str]:
    return frozenset(f"{resource}:*" for resource in resources)


def _read(*resources: str) -> frozenset[str]:
    return frozenset(f"{resource}:read" for resource in resources)


def _judged() -> frozenset[str]:
    """Return every action on definitions and work that is a second pair of eyes', whatever resources there are."""
    known = [(name, action) for name in (*_DEFINITIONS, *_WORK) for action in CATALOGUE[name]]
    return frozenset(f"{name}:{action}" for name, action in known if action in JUDGING)


PREDEFINED: Mapping[str, frozenset[str]] = {
    "owner": _all(*(resource for resource in CATALOGUE if resource != PLATFORM)),
    # all that an administrator may give to others, since nobody gives what they do not have
    "admin": _all(*(resource for resource in CATALOGUE if resource not in (PLATFORM, "tenant"))) | _read("tenant"),
    "report_manager": _all(*_DEFINITIONS, *_WORK, "secret") | _read("tenant", "policy"),
    "approver": _read(*_DEFINITIONS, *_WORK, "tenant", "policy") | _judged() | {"exception:approve"},
    "operator": _read(*_DEFINITIONS, *_WORK, "tenant") | {"run:start", "run:cancel", "exception:write"},
    "auditor": _read(*_DEFINITIONS, *_WORK, *_PEOPLE, "tenant", "policy") | _all("audit"),
    "integrator": _read(*_DEFINITIONS, *_WORK, "tenant") | {"run:start", "run:cancel", "exception:write"},
    "viewer": _read(*_DEFINITIONS, "run", "tenant"),
}
"""Roles by name, the same in every tenant; a tenant may add its own."""

PLATFORM_ROLES: Mapping[str, frozenset[str]] = {"platform_operator": frozenset({"platform:tenants", "platform:keys"})}
"""Roles of the system tenant: they act on tenants, not inside them."""


def exists(permission: str) -> bool:
    """Say whether a permission is one of the catalogue's."""
    resource, _, action = permission.partition(":")
    return (action == "*" and resource in CATALOGUE) or action in CATALOGUE.get(resource, ())


def covers(held: frozenset[str], wanted: str) -> bool:
    """Say whether the permissions held include the wanted one, which may itself be `resource:*`."""
    resource = wanted.partition(":")[0]
    return wanted in held or f"{resource}:*" in held


def covers_all(held: frozenset[str], wanted: frozenset[str]) -> bool:
    """Say whether every wanted permission is held."""
    return all(covers(held, permission) for permission in wanted)
