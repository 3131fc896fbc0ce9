from typing import Any
from uuid import UUID

from pydantic import Field

from libs.common.events.definitions import PolicyChanged, definition_events
from libs.common.events.envelope import Data
from libs.common.events.keyring import KEYRING_EVENTS

KINDS = ("connector", "schema", "mapping", "xsd_set", "destination", "report")


class SecretChanged(Data):
    """A connector's or destination's secret was set; it is not shown, only that it differs."""

    kind: str
    id: UUID
    fields: tuple[str, ...]


class CredentialLeased(Data):
    """A connector's credentials were lent to one step of one run."""

    connector_id: UUID
    run_id: UUID
    step: str
    report_id: UUID
    report_version: int
    purpose: str


class CredentialRefused(Data):
    """A lease was asked for and not granted: an alarm."""

    connector_id: UUID
    run_id: UUID
    step: str
    reason: str
    asked: dict[str, Any] = Field(default_factory=dict)


EVENTS: dict[str, type[Data]] = {
    **KEYRING_EVENTS,
    **definition_events(*KINDS),
    "policy.changed": PolicyChanged,
    "secret.changed": SecretChanged,
    "credential.leased": CredentialLeased,
    "credential.refused": CredentialRefused,
}
