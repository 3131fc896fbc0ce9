from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID


def utc_now() -> datetime:
    """Return the current instant; called at the doors only."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Context:
    """On whose behalf, when and why something is done. Every transaction has one.

    `actor` is `user:<id>`, `client:<id>`, `service:<name>` or `anonymous`. `correlation_id` ties together all that
    follows from one request; `causation_id` is the event that this reacts to.
    """

    tenant_id: UUID
    actor: str
    now: datetime = field(default_factory=utc_now)
    correlation_id: str | None = None
    causation_id: str | None = None
    traceparent: str | None = None
    address: str | None = None
