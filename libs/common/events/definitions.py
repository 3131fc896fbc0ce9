"""What owners say of their definitions; the same five facts for every kind."""

from datetime import date
from typing import Any
from uuid import UUID

from pydantic import Field

from libs.common.events.envelope import Data
from libs.common.events.runner import VersionReference


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


def definition_events(*kinds: str) -> dict[str, type[Data]]:
    """Return the event names of these kinds with what they carry."""
    verbs: dict[str, type[Data]] = {
        "created": DefinitionDrafted,
        "updated": DefinitionDrafted,
        "published": DefinitionPublished,
        "announced": DefinitionPublished,
        "archived": DefinitionArchived,
        "deleted": DefinitionDeleted,
    }
    return {f"{kind}.{verb}": data for kind in kinds for verb, data in verbs.items()}
