"""What can be done with a definition; one shape for every kind and owner."""

from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

import orjson
from asyncpg import ForeignKeyViolationError, UniqueViolationError
from pydantic import ValidationError

from libs.common.database.transaction import Row, Transaction
from libs.common.definitions import copies, gate, policies, store
from libs.common.definitions.gate import Decision, with_maker
from libs.common.definitions.kinds import Kind, Reference
from libs.common.definitions.publishing import NotYetVisible, add_version, distinct, require_published
from libs.common.definitions.sealing import reference, seal_draft, seal_version
from libs.common.errors import Conflict, FieldProblem, Invalid
from libs.common.events.definitions import (
    DefinitionArchived,
    DefinitionDeleted,
    DefinitionDrafted,
    DefinitionPublished,
    Dependency,
)
from libs.common.events.runner import VersionReference
from libs.common.http.door import require_revision
from libs.common.http.places import problems_in, problems_of, unstorable
from libs.common.ids import uuid7
from libs.common.objects import Objects, hash_bytes

__all__ = ["Definitions", "NotYetVisible", "announce", "loggable"]

_LARGEST_VALUE = 16 * 1024


@dataclass(frozen=True, slots=True)
class Definitions:
    """The definitions that one service owns: their kinds by name, and where versions are sealed."""

    kinds: dict[str, Kind]
    objects: Objects
    sealed: copies.SealedReader
    keeps_copies: bool = True

    async def create(self, tx: Transaction, kind: Kind, name: str, body: Any) -> UUID:
        """Add a draft; returns its id.

        Raises:
            Invalid: the specification is wrong; names the field.
            Conflict: the name is taken.
        """
        spec = await self._checked(tx, kind, body)
        id = uuid7(tx.context.now)  # noqa: A001 - the resource's own word
        draft = _draft(kind, spec)
        try:
            await store.add(tx, kind.name, id, name, draft)
        except UniqueViolationError as error:
            raise _name_taken(kind, name) from error
        row = {"kind": kind.name, "id": id, "latest": 0, "name": name, "draft": draft}
        sealed = await self._sealed_draft(tx, kind, row)
        data = DefinitionDrafted(kind=kind.name, id=id, name=name, revision=1, after=loggable(draft), draft=sealed)
        await tx.emit(f"{kind.name}.created", data, entity=id)
        return id

    async def edit(self, tx: Transaction, kind: Kind, id: UUID, revision: int, name: str, body: Any) -> None:  # noqa: A002
        """Replace the draft; a published definition gets one beside its versions.

        Raises:
            NotFound: there is no such definition.
            PreconditionFailed: it changed since it was read.
            Conflict: it is archived, or the name is taken.
            Invalid: the specification is wrong.
        """
        row = await store.lock(tx, kind.name, id)
        require_revision(revision, row["revision"])
        if row["status"] == "archived":
            raise Conflict("It is archived.", type="archived")
        draft = _draft(kind, await self._checked(tx, kind, body))
        try:
            await store.change(tx, id, row["revision"], name=name, draft=draft, makers=with_maker(tx, row["makers"]))
        except UniqueViolationError as error:
            raise _name_taken(kind, name) from error
        data = DefinitionDrafted(
            kind=kind.name,
            id=id,
            name=name,
            revision=revision + 1,
            before=loggable(row["draft"]),
            after=loggable(draft),
            draft=await self._sealed_draft(tx, kind, {**row, "name": name, "draft": draft}),
        )
        await tx.emit(f"{kind.name}.updated", data, entity=id)
        await gate.overtake(tx, id, "The draft was changed.")

    async def _sealed_draft(self, tx: Transaction, kind: Kind, row: Row) -> VersionReference | None:
        if not kind.replayed:
            return None
        return reference(kind.name, row["id"], row["latest"] + 1, await seal_draft(tx, self.objects, row))

    async def publish(self, tx: Transaction, kind: Kind, id: UUID, effective_from: date | None) -> bool:  # noqa: A002
        """Seal the draft as the next version, or propose it where the tenant's policy asks for more.

        Without a date the first version is in force always, a later one from today. Returns whether it is published.

        Raises:
            NotFound: there is no such definition.
            Conflict: there is no draft, or it is proposed already, or archived, or refers to something not published.
        """
        row = await store.lock(tx, kind.name, id)
        if row["status"] == "archived":
            raise Conflict("It is archived.", type="archived")
        if row["draft"] is None:
            raise Conflict("There is no draft to publish.", type="nothing-to-publish")
        references = await self._publishable(tx, kind, row)
        asked = await policies.policy_of(tx)
        if asked.required(kind.name):
            sealed = await seal_draft(tx, self.objects, row)
            await gate.propose(tx, row, sealed, effective_from, references, asked)
            return False
        await gate.overtake(tx, id, "It was published without.")
        sealed = await seal_version(tx, self.objects, row)
        await add_version(tx, row, sealed, effective_from, references, self.kinds)
        return True

    async def _publishable(self, tx: Transaction, kind: Kind, row: Row) -> list[Reference]:
        spec = await self._checked(tx, kind, row["draft"])
        references = distinct(kind.references(spec))
        for each in references:
            await require_published(tx, self.kinds, each)
        await self.kinds[kind.name].prove(tx, spec, self)  # what proves is known to the running service only
        return references

    async def approve(self, tx: Transaction, kind: Kind, id: UUID, decision: Decision) -> None:  # noqa: A002
        """Publish what another person proposed, exactly as it was proposed.

        Raises:
            NotFound: there is no such definition. Forbidden: the caller made it.
            Conflict: nothing is proposed, or something else, or it waits for its backtest, or it is too old.
        """
        row = await store.lock(tx, kind.name, id)
        found = await gate.decidable(tx, row, decision)
        if found["status"] != "proposed":
            raise Conflict("It is still being tried on past data.", type="awaiting-backtest")
        references = await self._publishable(tx, kind, row)
        await gate.settle(tx, found, "published", decision.comment)
        await gate.publish(tx, row, found, references, self.kinds)

    async def archive(self, tx: Transaction, kind: Kind, id: UUID) -> None:  # noqa: A002
        """Take a published definition out of new use.

        Raises:
            NotFound: there is no such definition.
            Conflict: it was never published.
        """
        row = await store.lock(tx, kind.name, id)
        if row["status"] == "draft":
            raise Conflict("A draft is deleted, not archived.", type="not-published")
        if row["status"] == "archived":
            return
        await gate.overtake(tx, id, "It was archived.")
        await store.change(tx, id, row["revision"], status="archived", draft=None)
        data = DefinitionArchived(kind=kind.name, id=id, name=row["name"])
        await tx.emit(f"{kind.name}.archived", data, entity=id)

    async def delete(self, tx: Transaction, kind: Kind, id: UUID) -> None:  # noqa: A002
        """Delete a draft that was never published.

        Raises:
            NotFound: there is no such definition.
            Conflict: it was published; names who depends on it.
        """
        row = await store.lock(tx, kind.name, id)
        if row["latest"]:
            dependents = [dict(item) for item in await store.dependents(tx, id, copies=self.keeps_copies)]
            raise Conflict(
                f"What was published is archived, never deleted; {len(dependents)} definitions depend on it.",
                type="published",
                extra={"dependents": dependents[:100], "dependent_count": len(dependents)},
            )
        try:
            await store.remove(tx, id)
        except ForeignKeyViolationError as error:
            raise Conflict("Something refers to it.", type="referred-to") from error
        data = DefinitionDeleted(kind=kind.name, id=id, name=row["name"], before=loggable(row["draft"]))
        await tx.emit(f"{kind.name}.deleted", data, entity=id)

    async def spec_of(self, tx: Transaction, kind: str, id: UUID) -> Any | None:  # noqa: A002
        """Return the draft or newest version of an own definition, or the newest known version, as JSON; or None."""
        if kind not in self.kinds:
            row = await copies.newest(tx, kind, id) if self.keeps_copies else None
            return await self.sealed.read(copies.Pinned.from_row(row)) if row else None
        own = await store.spec_source(tx, kind, id)
        if own is None or own["draft"] is not None:
            return own["draft"] if own else None
        return await self.sealed.read(copies.Pinned(kind, id, own["latest"], own["object_key"], own["sha256"]))

    async def _checked(self, tx: Transaction, kind: Kind, body: Any) -> Any:
        try:
            spec = (
                kind.spec.validate_python(body)
                if not isinstance(body, dict)
                else kind.spec.validate_json(orjson.dumps(body))
            )
        except ValidationError as error:
            fields = problems_in(problems_of(error), body, kind.spec.core_schema, "/spec")
            raise Invalid(f"The {kind.name} is not valid.", fields=fields) from error
        await kind.check(tx, spec, self)
        return spec


async def announce(tx: Transaction) -> int:
    """Say every version of the tenant again, so that others' copies can be filled anew; returns how many."""
    rows = await store.every_version(tx)
    for row in rows:
        references = await store.references_of(tx, row["definition_id"], row["number"])
        data = DefinitionPublished(
            kind=row["kind"],
            id=row["definition_id"],
            name=row["name"],
            number=row["number"],
            key=row["object_key"],
            sha256=row["sha256"],
            size=row["size"],
            effective_from=row["effective_from"],
            references=tuple(Dependency(kind=item["target_kind"], id=item["target_id"]) for item in references),
        )
        await tx.emit(f"{row['kind']}.announced", data, entity=row["definition_id"])
    return len(rows)


def loggable(value: Any) -> Any:
    """Return a value as an event carries it: itself, or its hash and size where it is large."""
    body = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    return value if len(body) <= _LARGEST_VALUE else {"sha256": hash_bytes(body), "size": len(body)}


def _draft(kind: Kind, spec: Any) -> Any:
    draft = _dump(kind, spec)
    if problem := unstorable(draft, "/spec"):
        raise Invalid(f"The {kind.name} is not valid.", fields=[problem])
    return draft


def _dump(kind: Kind, spec: Any) -> Any:
    return kind.spec.dump_python(spec, mode="json")


def _name_taken(kind: Kind, name: str) -> Conflict:
    problem = FieldProblem("/name", "is the name of another one")
    return Conflict(f"There is a {kind.name} named {name!r} already.", type="name-taken", fields=[problem])
