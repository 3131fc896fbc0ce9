"""The jobs of a transform: records made ready, a tenant's code over them, the gate, what it let through. One process each."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from services.validator.jail import gate, python, readying, showing, sql

_WORK: Mapping[str, Callable[[dict[str, Any], Sequence[int]], dict[str, Any]]] = MappingProxyType(
    {"ready": readying.run, "python": python.run, "sql": sql.run, "gate": gate.run, "show": showing.run}
)


def run(job: dict[str, Any], descriptors: Sequence[int]) -> dict[str, Any]:
    """Do the piece of work that the job names."""
    return _WORK[job["work"]](job, descriptors)
