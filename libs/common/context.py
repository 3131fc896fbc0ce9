from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID


def utc_now() -> datetime:
    """Return the current instant; called at the doors only."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Context:
    """On whose behalf, when and why something is done. Every transaction has one.

    `actor` is `user:<id>`, `client:<id>`, `service:<name>` or `anonymous`; `owner` the person who answers for a client. `correlation_id` ties together all that
    follows from one request; `causation_id` is the event that this reacts to.
    """

    tenant_id: UUID
    actor: str
    now: datetime = field(default_factory=utc_now)
    correlation_id: str | None = None
    causation_id: str | None = None
    traceparent: str | None = None
    address: str | None = None
    owner: str | None = None

    @property
    def person(self) -> str:
        """Who is behind what is done: whoever answers for a client, else the actor."""
        return self.owner or self.actor
