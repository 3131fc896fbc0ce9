"""What can be allowed is what routes ask for, neither more nor less; read from the code of both."""

import pytest

from services.auth.permissions import CATALOGUE, PLATFORM_ROLES, PREDEFINED, covers, exists
from tests.architecture.source import SERVICES
from tests.architecture.test_routes import permissions_of, routes

ROLES = {**PREDEFINED, **PLATFORM_ROLES}
ASKED = {name for service in SERVICES for route in routes(service) for name in permissions_of(route)}
ALL = {f"{resource}:{action}" for resource, actions in CATALOGUE.items() for action in actions}


def test_every_permission_opens_a_route() -> None:
    """A permission that no route asks for would promise what it does not give."""
    assert set() == ALL - ASKED


@pytest.mark.parametrize("name", sorted(ASKED))
def test_every_route_is_open_to_a_role_from_the_start(name: str) -> None:
    """What a route asks for is in the catalogue, and in a predefined role."""
    assert name in ALL
    assert [role for role, held in ROLES.items() if covers(held, name)]


@pytest.mark.parametrize("role", ROLES)
def test_a_role_holds_what_there_is(role: str) -> None:
    """Each permission of a predefined role exists, and each role can do something."""
    assert ROLES[role]
    assert {name for name in ROLES[role] if not exists(name)} == set()


def test_the_roles_are_those_of_the_design() -> None:
    """Eight in every tenant; none of them acts on the platform, and only the owner's writes the tenant."""
    assert set(PREDEFINED) == {
        "owner", "admin", "report_manager", "approver", "operator", "auditor", "integrator", "viewer",
    }  # fmt: skip
    assert not [role for role, held in PREDEFINED.items() if any(name.startswith("platform:") for name in held)]
    assert [role for role, held in PREDEFINED.items() if covers(held, "tenant:write")] == ["owner"]
