"""What can be allowed is what routes ask for, neither more nor less; read from the code of both."""

import pytest

from services.auth.permissions import (
    CATALOGUE,
    JUDGING,
    PLATFORM,
    PLATFORM_ROLES,
    PREDEFINED,
    READING,
    covers,
    exists,
)
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


def held(role: str) -> set[str]:
    """Return what a predefined role allows, every `resource:*` written out."""
    return {name for name in ALL if covers(PREDEFINED[role], name)}


def ending(actions: tuple[str, ...]) -> set[str]:
    """Return every permission of these actions, but the platform's."""
    return {name for name in ALL if name.endswith(tuple(f":{action}" for action in actions)) and PLATFORM not in name}


@pytest.mark.parametrize("role", ["viewer", "auditor"])
def test_who_looks_changes_nothing(role: str) -> None:
    """Neither a viewer nor an auditor has a permission that changes anything, whatever permissions there are (S28)."""
    assert held(role) - ending(READING) == set()


def test_who_judges_does_not_do_the_work() -> None:
    """An approver has every action that lets work count and reads the work; an operator and an integrator have none."""
    assert ending(JUDGING) <= held("approver") <= ending((*JUDGING, "read"))
    for role in ("operator", "integrator"):
        assert held(role) & ending(JUDGING) == set()


def test_an_owner_has_all_and_an_administrator_all_but_the_tenant_itself() -> None:
    """A new permission is theirs without a word, and so can be given to others."""
    own = {name for name in ALL if not name.startswith(f"{PLATFORM}:")}
    assert (held("owner"), own - held("admin")) == (own, {"tenant:write"})
