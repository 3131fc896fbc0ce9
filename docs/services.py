"""What each service declares, found by its name."""

import importlib
from collections.abc import Iterator, Sequence
from typing import Any

from fastapi import APIRouter
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from libs.common.bus.topology import TOPOLOGY
from libs.common.settings import Settings

SERVICES = tuple(service.name for service in TOPOLOGY.services)


def routers(service: str) -> Sequence[APIRouter]:
    """Return the routers of a service's HTTP door."""
    found: Sequence[APIRouter] = importlib.import_module(f"services.{service}.api").ROUTERS
    return found


def routes(service: str) -> Iterator[APIRoute]:
    """Yield every route of a service's API; pages for people are none."""
    for router in routers(service):
        yield from (route for route in router.routes if isinstance(route, APIRoute) and route.include_in_schema)


def settings(service: str) -> type[Settings]:
    """Return the class of a service's settings: the one subclass that its module defines."""
    module = importlib.import_module(f"services.{service}.settings")
    (found,) = (
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Settings) and value.__module__ == module.__name__
    )
    return found


def dependencies(dependant: Dependant) -> Iterator[Any]:
    """Yield everything that a route depends on, directly or not."""
    for dependency in dependant.dependencies:
        yield dependency.call
        yield from dependencies(dependency)
