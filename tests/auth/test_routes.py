"""Who may enter stands at every route."""

import re
from pathlib import Path

import pytest
from fastapi.routing import APIRoute

from libs.common.http.door import Permission, caller
from services.auth.api import ROUTERS
from services.auth.permissions import CATALOGUE, PLATFORM, PLATFORM_ROLES, PREDEFINED, covers_all, exists
from tests.architecture import test_routes as exceptions

PUBLIC, OWN = ({listed.partition(" ")[2] for listed in names} for names in (exceptions.PUBLIC, exceptions.OWN))
ROUTES = [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]
SERVICES = Path(__file__).parents[2] / "services"
USED = re.compile(r"""permission\(\s*"([a-z_]+:[a-z_]+)"\s*\)""")


def name(route: APIRoute) -> str:
    return f"{'/'.join(sorted(route.methods))} {route.path}"


@pytest.mark.parametrize("route", ROUTES, ids=name)
def test_each_route_says_who_may_enter(route: APIRoute) -> None:
    """A route is public by name, the caller's own, or asks for a permission of the catalogue."""
    if route.path in PUBLIC:
        return
    asked = [dependency.dependency for dependency in route.dependencies]
    if route.path in OWN:
        assert caller in asked
        return
    permissions = [one.name for one in asked if isinstance(one, Permission)]
    assert permissions, "no permission"
    assert all(exists(permission) for permission in permissions)


def test_every_permission_that_any_service_asks_for_can_be_given() -> None:
    """The catalogue knows what the routes of all services ask for."""
    asked = {found for path in SERVICES.rglob("*.py") for found in USED.findall(path.read_text(encoding="utf-8"))}
    assert asked
    assert sorted(permission for permission in asked if not exists(permission)) == []


@pytest.mark.parametrize("role", sorted({**PREDEFINED, **PLATFORM_ROLES}))
def test_predefined_roles_give_what_exists(role: str) -> None:
    """No role gives a permission that nothing asks for."""
    assert all(exists(permission) for permission in {**PREDEFINED, **PLATFORM_ROLES}[role])


def test_an_owner_may_do_everything_inside_a_tenant_and_nothing_outside() -> None:
    """The platform's permissions are no tenant's."""
    inside = frozenset(
        f"{resource}:{action}" for resource, actions in CATALOGUE.items() if resource != PLATFORM for action in actions
    )
    assert covers_all(PREDEFINED["owner"], inside)
    assert not any(permission.startswith(PLATFORM) for role in PREDEFINED.values() for permission in role)


def test_readers_only_read() -> None:
    """Viewers and auditors change nothing."""
    assert all(permission.endswith(":read") for permission in PREDEFINED["viewer"])
    assert all(permission.endswith(":read") or permission == "audit:*" for permission in PREDEFINED["auditor"])
