"""An exception's life, declared as data. An open one with an assignee is being worked on."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, get_args

from libs.common.errors import Conflict

Status = Literal["open", "amended", "waived", "resubmitted", "closed"]
Outcome = Literal["fail", "unknown"]
Resolution = Literal["reported", "filtered", "passed", "void"]
"""How a closed one ended: its record went out, was left out, passed the rule, or the verdict was never told."""

TRANSITIONS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "open": frozenset({"amended", "waived", "resubmitted", "closed"}),
        "amended": frozenset({"open", "resubmitted"}),
        "waived": frozenset({"open", "resubmitted"}),
        "resubmitted": frozenset({"open", "closed"}),
        "closed": frozenset({"open"}),
    }
)
"""Status → what may follow. An open one closes only where its verdict is never told or its run was cancelled, a closed
one opens again only by a later verdict on the same record."""

STATUSES: tuple[Status, ...] = get_args(Status)
WAITING = tuple(status for status in STATUSES if status not in ("resubmitted", "closed"))
"""The statuses in which somebody has something to do."""


class WrongStatus(Conflict):
    """What is asked for is not possible in the exception's status."""

    type = "wrong-status"
    title = "The exception's status does not allow this"


def sources(after: str) -> tuple[str, ...]:
    """Return the statuses from which `after` may be reached."""
    return tuple(status for status, following in TRANSITIONS.items() if after in following)


def require_transition(before: str, after: str) -> None:
    """Refuse what is not declared.

    Raises:
        WrongStatus: an exception does not go from one status to the other.
    """
    if after not in TRANSITIONS[before]:
        raise WrongStatus(f"The exception is {before}; it cannot become {after}.")
