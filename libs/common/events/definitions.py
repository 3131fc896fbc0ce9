"""What owners say of their definitions; the same five facts for every kind."""

from datetime import date, datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from libs.common.events.envelope import Data
from libs.common.events.runner import VersionReference
from libs.common.vocabulary.policies import PublicationPolicy


class DefinitionDrafted(Data):
    """A draft was made or changed. Values larger than 16 KiB are given as `{"sha256": ..., "size": ...}`.

    `draft` is the draft sealed as the version that it would be, of kinds that can be tried on past data.
    """

    kind: str
    id: UUID
    name: str
    revision: int
    before: Any = None
    after: Any = None
    draft: VersionReference | None = None


class Dependency(Data):
    """Something that a version refers to."""

    kind: str
    id: UUID


class DefinitionPublished(Data):
    """A version was published (or is announced again): sealed under `key`, in force from `effective_from`."""

    kind: str
    id: UUID
    name: str
    number: int
    key: str
    sha256: str
    size: int
    effective_from: date
    references: tuple[Dependency, ...] = Field(default=())


class DefinitionArchived(Data):
    """No new use of the definition; what is pinned or scheduled keeps running."""

    kind: str
    id: UUID
    name: str


class DefinitionDeleted(Data):
    """A draft that was never published is gone."""

    kind: str
    id: UUID
    name: str
    before: Any = None


class DefinitionProposed(Data):
    """A draft is to be published once it is tried on past data, or approved, as the tenant's policy asks.

    `draft` is sealed; what is decided is decided of its hash. `replays` is how many past runs are to be tried, 0 for none.
    """

    kind: str
    id: UUID
    name: str
    proposal_id: UUID
    draft: VersionReference
    effective_from: date | None = None
    references: tuple[Dependency, ...] = Field(default=())
    replays: int = 0
    needs_approval: bool = False
    expires_at: datetime


class DefinitionBacktested(Data):
    """A proposed draft was tried on past data, and may go on."""

    kind: str
    id: UUID
    proposal_id: UUID
    sha256: str
    backtest_id: UUID
    counts: dict[str, Any] = Field(default_factory=dict)


class DefinitionDecided(Data):
    """A proposal was decided: approved by another person, rejected, withdrawn (or overtaken by a change), or too old."""

    kind: str
    id: UUID
    proposal_id: UUID
    sha256: str
    status: Literal["approved", "rejected", "withdrawn", "expired"]
    person: str
    comment: str = ""


class PolicyChanged(Data):
    """What the tenant asks of drafts before they are published."""

    revision: int
    before: PublicationPolicy | None = None
    after: PublicationPolicy


def definition_events(*kinds: str) -> dict[str, type[Data]]:
    """Return the event names of these kinds with what they carry."""
    verbs: dict[str, type[Data]] = {
        "created": DefinitionDrafted,
        "updated": DefinitionDrafted,
        "published": DefinitionPublished,
        "announced": DefinitionPublished,
        "archived": DefinitionArchived,
        "deleted": DefinitionDeleted,
        "proposed": DefinitionProposed,
        "backtested": DefinitionBacktested,
        "approved": DefinitionDecided,
        "rejected": DefinitionDecided,
        "withdrawn": DefinitionDecided,
        "expired": DefinitionDecided,
    }
    return {f"{kind}.{verb}": data for kind in kinds for verb, data in verbs.items()}
