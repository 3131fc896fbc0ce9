"""What a service knows of definitions that others own, and how it reads them."""

from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.util import LRUCache

from libs.common.database.transaction import Row, Transaction
from libs.common.definitions.tables import dependent, known
from libs.common.events.definitions import DefinitionArchived, DefinitionPublished
from libs.common.events.envelope import Event
from libs.common.objects import Objects


@dataclass(frozen=True, slots=True)
class Pinned:
    """One version, by reference: enough to read it years later and know that it is unchanged."""

    kind: str
    id: UUID
    number: int
    key: str
    sha256: str

    def as_json(self) -> dict[str, Any]:
        """Return the reference as a JSON object."""
        return {
            "kind": self.kind,
            "id": str(self.id),
            "number": self.number,
            "key": self.key,
            "sha256": self.sha256,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Pinned":
        """Read a reference back."""
        return cls(value["kind"], UUID(value["id"]), value["number"], value["key"], value["sha256"])

    @classmethod
    def from_row(cls, row: Row) -> "Pinned":
        """Return the reference to a known version."""
        return cls(row["kind"], row["id"], row["number"], row["object_key"], row["sha256"])


async def on_published(tx: Transaction, event: Event) -> None:
    """Learn a version (`<kind>.published` or `<kind>.announced`)."""
    data = DefinitionPublished.model_validate(event.data)
    row = {
        "tenant_id": tx.tenant_id,
        "kind": data.kind,
        "id": data.id,
        "number": data.number,
        "name": data.name,
        "object_key": data.key,
        "sha256": data.sha256,
        "effective_from": data.effective_from,
        "archived": False,
    }
    await tx.execute(insert(known).values(**row).on_conflict_do_nothing())
    for target in data.references:
        await _depend(tx, data, target.id)


async def _depend(tx: Transaction, data: DefinitionPublished, target_id: UUID) -> None:
    row = {"tenant_id": tx.tenant_id, "target_id": target_id, "kind": data.kind, "id": data.id, "name": data.name}
    statement = insert(dependent).values(**row, archived=False)
    await tx.execute(
        statement.on_conflict_do_update(
            index_elements=["tenant_id", "target_id", "id"], set_={"name": data.name, "archived": False}
        )
    )


async def on_archived(tx: Transaction, event: Event) -> None:
    """Learn that a definition takes no new use."""
    data = DefinitionArchived.model_validate(event.data)
    await tx.execute(update(known).where(known.c.id == data.id).values(archived=True))
    await tx.execute(update(dependent).where(dependent.c.id == data.id).values(archived=True))


async def in_force(tx: Transaction, kind: str, id: UUID, on: date) -> Row | None:  # noqa: A002
    """Return the known version in force on a business date: the latest effective one, of equal ones the newest."""
    columns = known.c
    return await tx.row(
        select(known)
        .where(columns.kind == kind, columns.id == id, columns.effective_from <= on)
        .order_by(columns.effective_from.desc(), columns.number.desc())
        .limit(1)
    )


async def newest(tx: Transaction, kind: str, id: UUID) -> Row | None:  # noqa: A002
    """Return the newest known version, whenever it is in force."""
    columns = known.c
    statement = select(known).where(columns.kind == kind, columns.id == id).order_by(columns.number.desc()).limit(1)
    return await tx.row(statement)


class SealedReader:
    """Reads sealed definitions; what was read once stays in memory, for a version never changes."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._cache: LRUCache[str, Any] = LRUCache(200)

    async def read(self, pinned: Pinned) -> Any:
        """Return the specification as JSON.

        Raises:
            ObjectMissingError: the store has lost it.
            ObjectAlteredError: it is not what was sealed.
        """
        body = self._cache.get(pinned.sha256)
        if body is None:
            body = orjson.loads(await self._objects.get(pinned.key, pinned.sha256))["spec"]
            self._cache[pinned.sha256] = body
        return body
