"""All contracts by publisher; the AsyncAPI document is generated from it, and nothing else is ever emitted."""

from libs.common.events import audit, auth, catalog, runner, scheduler, validator
from libs.common.events.envelope import Data

PUBLISHERS: dict[str, dict[str, type[Data]]] = {
    "auth": auth.EVENTS,
    "catalog": catalog.EVENTS,
    "scheduler": scheduler.EVENTS,
    "runner": runner.EVENTS,
    "validator": validator.EVENTS,
    "audit": audit.EVENTS,
}


class UndeclaredEventError(Exception):
    """An event was emitted that no contract lists."""


def require_declared(service: str, name: str, data: Data) -> None:
    """Check that a service may say this.

    Raises:
        UndeclaredEventError: the contract does not list the name, or lists other data for it.
    """
    declared = PUBLISHERS[service].get(name)
    if declared is None or not isinstance(data, declared):
        raise UndeclaredEventError(f"{service}.{name} with {type(data).__name__} is not in libs/common/events")
