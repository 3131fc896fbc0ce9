"""Which walk asks which operation as a stranger; and what no walk asks, which is a fault of its own."""

from collections.abc import Collection, Iterable, Mapping

from tests.architecture.source import SERVICES
from tests.architecture.test_routes import OWN, PUBLIC, permissions_of, routes
from tests.system.operations import Operation, operations

PERSONAL = ("/v1/me/", "/v1/sessions")
AUTHORIZATION = ("/oauth2", "/.well-known")
# the trail's entries are numbered in each tenant's own tree: no number is somebody else's
OWN_NUMBERS = "/v1/audit/"
OTHER_PLACES = {"number": "1", "identity": "00000000-0000-4000-8000-000000000000"}
"""Places behind the first that hold no id of the owner's: versions are numbers, links are behind the provider's id."""


def permissions() -> Mapping[str, set[str]]:
    """Return the permissions of every route of every service, by `METHOD /path`."""
    return {
        f"{min(route.methods)} {route.path}": permissions_of(route) for service in SERVICES for route in routes(service)
    }


def kind_of(name: str) -> str:
    """Return the kind of thing that a field or a place names: `report_id` is one of the `reports`."""
    plain = name.removesuffix("s").removesuffix("_id").replace("_", "-")
    return f"{plain}s"


def walked_by(operation: Operation, asked: Mapping[str, set[str]]) -> str | None:
    """Return which walk takes an operation, or None where none does."""
    name, named = str(operation), operation.places or operation.method == "GET"
    personal = name in OWN or operation.path.startswith(PERSONAL)
    walks = {
        "the authorization server's own": operation.path.startswith(AUTHORIZATION),
        "none needed: acts on what is presented": name in PUBLIC,
        "refused to every tenant": any(one.startswith("platform:") for one in asked.get(name, ())),
        "a person's own": personal and named,
        "none needed: acts on the caller": personal,
        "own numbers": operation.places and operation.path.startswith(OWN_NUMBERS),
        "ids": operation.places,
        "lists": operation.method == "GET",
        "bodies": operation.takes_json,
    }
    return next((walk for walk, fits in walks.items() if fits), None)


def walked(walk: str, among: Iterable[Operation] | None = None) -> list[Operation]:
    """Return the operations that a walk takes."""
    asked = permissions()
    return [o for o in (operations() if among is None else among) if walked_by(o, asked) == walk]


def uncovered(
    among: Iterable[Operation], kinds: Collection[str], asked: Mapping[str, set[str]] | None = None
) -> list[str]:
    """Return what no walk asks, or asks for nothing that is there; `kinds` are the things that the owner has."""
    asked = permissions() if asked is None else asked
    faults = []
    for operation in among:
        walk = walked_by(operation, asked)
        if walk is None:
            faults.append(f"{operation} is asked by no walk")
        if walk == "ids":
            _, *others = operation.places
            absent = [] if operation.kind in kinds else [operation.kind]
            faults += [f"{operation} is asked at nothing: the owner has no {kind}" for kind in absent]
            last = {kind.rpartition("/")[2] for kind in kinds}
            known = {*OTHER_PLACES, "key", *(name for name in others if kind_of(name) in last)}
            faults += [f"{operation} is asked at nothing: no {name}" for name in others if name not in known]
    return faults
