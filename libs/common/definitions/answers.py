"""What definition routes answer, as the API's document shows it; a test holds real answers against these."""

from datetime import date, datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, create_model

from libs.common.definitions.kinds import Kind

Requirement = Literal["backtest", "approval"]
Status = Literal["draft", "published", "archived"]


class Answer(BaseModel):
    """What a route answers: exactly these fields."""

    model_config = ConfigDict(extra="forbid")


class DefinitionSummary(Answer):
    """A definition as lists show it."""

    id: UUID
    name: str
    status: Status
    revision: int = Field(description="counts every change; the ETag")
    latest: int = Field(description="the number of the newest version, 0 before the first")
    created_at: datetime
    created_by: str = Field(description="`user:<id>`, `client:<id>` or `service:<name>`")
    changed_at: datetime


class DefinitionVersion(Answer):
    """A published version; its content never changes."""

    tenant_id: UUID
    definition_id: UUID
    number: int
    kind: str
    name: str
    object_key: str
    sha256: str = Field(description="of the version's canonical JSON")
    size: int = Field(description="bytes")
    effective_from: date = Field(description="the first business date that the version is in force on")
    published_at: datetime
    published_by: str


class DefinitionDependent(Answer):
    """A definition whose current version refers to this one."""

    kind: str
    id: UUID
    name: str
    status: Status


class ProposalSummary(Answer):
    """What is proposed of a definition, or was last: the draft with this hash, and what became of it."""

    id: UUID
    definition_id: UUID
    number: int
    sha256: str = Field(description="of the sealed draft; what is decided is decided of this")
    effective_from: date | None
    status: Literal["awaiting_backtest", "proposed", "published", "rejected", "withdrawn", "expired"]
    needs_approval: bool
    makers: list[str] = Field(description="who may not approve it")
    backtest_id: UUID | None
    backtest: dict[str, Any] | None = Field(description="what the backtest found")
    proposed_by: str
    proposed_at: datetime
    expires_at: datetime
    decided_by: str | None
    decided_at: datetime | None
    comment: str


def sealed(kind: Kind) -> type[BaseModel]:
    """Return the model of a version's content as it was sealed."""
    return create_model(
        f"{_title(kind)}Content",
        __base__=Answer,
        kind=(str, Field(description=f"`{kind.name}`")),
        id=(UUID, Field(description="the definition's")),
        number=(int, Field(description="the version's")),
        name=(str, ...),
        spec=(_spec(kind), ...),
        __doc__="What a version holds; its hash is of the bytes of this.",
    )


def _title(kind: Kind) -> str:
    return kind.name.title().replace("_", "")


def _spec(kind: Kind) -> Any:
    return kind.spec._type  # noqa: SLF001 - the adapter keeps the model that documents the body


def shown(kind: Kind) -> type[BaseModel]:
    """Return the model of one definition of a kind: its summary, its draft and its last proposal, null where there is none."""
    return create_model(
        _title(kind),
        __base__=DefinitionSummary,
        draft=(_spec(kind) | None, ...),
        requires=(list[Requirement], Field(description="what stands between a draft and its publication")),
        proposal=(ProposalSummary | None, ...),
        __doc__="A definition.",
    )


def listed(item: type[BaseModel]) -> type[BaseModel]:
    """Return the model of a list of them."""
    name = f"{item.__name__}List"
    return create_model(name, __base__=Answer, items=(list[item], ...), next=(str | None, ...))  # type: ignore[valid-type] # made at run time


def document(model: type[BaseModel], status: int = 200) -> dict[int | str, dict[str, Any]]:
    """Return a route's `responses` that say what it answers."""
    return {status: {"model": model}}
