from collections.abc import Awaitable, Callable, Mapping

from libs.common.database.transaction import Transaction
from libs.common.events.envelope import Event

Handler = Callable[[Transaction, Event], Awaitable[None]]
"""Reacts to an event inside the reader's transaction; may run twice."""

Subscriptions = Mapping[str, Handler]
"""Subject pattern (`*` one token, `>` the rest) → handler; the first that matches is taken."""


def matches(pattern: str, subject: str) -> bool:
    """Say whether a NATS subject pattern covers a subject."""
    wanted, given = pattern.split("."), subject.split(".")
    for position, token in enumerate(wanted):
        if token == ">":
            return len(given) > position
        if position >= len(given) or token not in ("*", given[position]):
            return False
    return len(wanted) == len(given)


def find(subscriptions: Subscriptions, subject: str) -> Handler | None:
    """Return the handler for a subject, or None."""
    return next((handler for pattern, handler in subscriptions.items() if matches(pattern, subject)), None)
