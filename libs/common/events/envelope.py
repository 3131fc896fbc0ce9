"""CloudEvents 1.0, structured JSON: the one form in which facts travel."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import orjson
from pydantic import BaseModel, ConfigDict, Field

from libs.common.context import Context


class Data(BaseModel):
    """What an event says. Within a version fields are only added, and optional; readers ignore unknown ones."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Event(BaseModel):
    """A received event: the envelope, its data still plain JSON."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    specversion: Literal["1.0"]
    id: UUID
    source: str
    type: str
    subject: str
    time: datetime
    dataschema: str
    datacontenttype: str = "application/json"
    tenantid: UUID
    actor: str
    sequence: int = Field(ge=1)
    correlationid: str | None = None
    causationid: str | None = None
    traceparent: str | None = None
    data: dict[str, Any]

    @property
    def name(self) -> str:
        """`<service>.<entity>.<verb>`, without the version."""
        return self.type.rsplit(".", 1)[0]

    def context(self, actor: str, now: datetime) -> Context:
        """Return the context in which a reader reacts to this event."""
        return Context(
            tenant_id=self.tenantid,
            actor=actor,
            now=now,
            correlation_id=self.correlationid,
            causation_id=str(self.id),
            traceparent=self.traceparent,
        )


def envelope(
    context: Context,
    *,
    source: str,
    name: str,
    data: Data,
    entity: str,
    id: UUID,  # noqa: A002 - CloudEvents' own word
    sequence: int,
    version: int = 1,
) -> bytes:
    """Return an event's exact bytes. The same arguments give the same bytes."""
    kind = f"{source}.{name}.v{version}"
    attributes = {
        "specversion": "1.0",
        "id": str(id),
        "source": source,
        "type": kind,
        "subject": entity,
        "time": context.now.isoformat(),
        "dataschema": f"urn:regent:event:{kind}",
        "datacontenttype": "application/json",
        "tenantid": str(context.tenant_id),
        "actor": context.actor,
        "sequence": sequence,
        "correlationid": context.correlation_id,
        "causationid": context.causation_id,
        "traceparent": context.traceparent,
        "data": data.model_dump(mode="json"),
    }
    return orjson.dumps({name: value for name, value in attributes.items() if value is not None})


def parse(body: bytes) -> Event:
    """Return the event that the bytes hold.

    Raises:
        pydantic.ValidationError: they hold none.
    """
    return Event.model_validate_json(body)
