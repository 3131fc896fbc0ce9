"""A run's life, declared as data."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, get_args

Status = Literal[
    "waiting", "queued", "running", "validating", "transforming", "succeeded", "partial", "failed", "cancelled"
]
TRANSITIONS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "": frozenset({"waiting", "queued"}),
        "waiting": frozenset({"queued", "failed", "cancelled"}),
        "queued": frozenset({"running", "failed", "cancelled"}),
        "running": frozenset({"queued", "validating", "transforming", "succeeded", "partial", "failed", "cancelled"}),
        "validating": frozenset({"queued", "failed", "cancelled"}),
        "transforming": frozenset({"queued", "failed", "cancelled"}),
        "succeeded": frozenset(),
        "partial": frozenset(),
        "failed": frozenset(),
        "cancelled": frozenset(),
    }
)
"""Status → what may follow; the empty text stands before a run exists."""

ENDED = frozenset(status for status, following in TRANSITIONS.items() if not following)
STATUSES: tuple[Status, ...] = get_args(Status)

EVENT_NAMES: Mapping[str, str] = MappingProxyType(
    {status: "run.started" if status == "running" else f"run.{status}" for status in STATUSES}
)
"""The event that announces the arrival in a status."""


class IllegalTransitionError(Exception):
    """Code asked for a transition that is not declared."""


def require_transition(before: str, after: str) -> None:
    """Check that a run may go from one status to another.

    Raises:
        IllegalTransitionError: it may not.
    """
    if after not in TRANSITIONS[before]:
        raise IllegalTransitionError(f"{before or 'nothing'} → {after}")
