"""What a step hands in."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from libs.common.objects import Sealed
from services.runner.domain.ledger import Balance
from services.runner.engines.drafts import Draft


@dataclass(frozen=True, slots=True)
class RenderedFile:
    """An artifact in the object store."""

    id: UUID
    name: str
    format: str
    sealed: Sealed
    records: int


@dataclass(frozen=True, slots=True)
class DeliveryResult:
    """What became of one delivery; a code says that it failed."""

    id: UUID
    artifact_id: UUID
    destination_id: UUID
    receipt: dict[str, Any] = field(default_factory=dict)
    code: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ValidationOrder:
    """What the validator is asked after a step, already signed: see `ValidationRequested`."""

    phase: str
    event: Any


@dataclass(frozen=True, slots=True)
class StepResult:
    """A finished step: sealed outputs by name, facts that later steps need, its balance.

    `main` names the output that the step's event refers to. `draft` is what an extract's child made of it at once.
    """

    step: str
    started_at: datetime
    balance: Balance
    outputs: dict[str, Sealed] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    main: str = ""
    artifacts: tuple[RenderedFile, ...] = ()
    destinations: tuple[UUID, ...] = ()
    deliveries: tuple[DeliveryResult, ...] = ()
    draft: Draft | None = None
