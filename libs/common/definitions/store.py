"""Definitions in the database: drafts, versions, references, dependents."""

from collections.abc import Sequence
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import case, delete, insert, select, union_all, update

from libs.common.database.transaction import Row, Transaction
from libs.common.definitions.tables import definition, dependent, reference, version
from libs.common.errors import NotFound

_D = definition.c
SUMMARY = (_D.id, _D.name, _D.status, _D.revision, _D.latest, _D.created_at, _D.created_by, _D.changed_at)


async def lock(tx: Transaction, kind: str, id: UUID) -> Row:  # noqa: A002 - the resource's own word
    """Return a definition, locked against other changes.

    Raises:
        NotFound: the tenant has none of that kind and id.
    """
    return await _one(tx, select(definition).where(_D.id == id, _D.kind == kind).with_for_update(), kind)


async def lock_or_none(tx: Transaction, kind: str, id: UUID) -> Row | None:  # noqa: A002
    """Return a definition, locked against other changes, or None."""
    return await tx.row(select(definition).where(_D.id == id, _D.kind == kind).with_for_update())


async def find(tx: Transaction, kind: str, id: UUID) -> Row:  # noqa: A002
    """Return a definition.

    Raises:
        NotFound: the tenant has none of that kind and id.
    """
    return await _one(tx, select(*SUMMARY, _D.draft).where(_D.id == id, _D.kind == kind), kind)


async def _one(tx: Transaction, statement: Any, kind: str) -> Row:
    row = await tx.row(statement)
    if row is None:
        raise NotFound(f"There is no such {kind.replace('_', ' ')}.")
    return row


async def spec_source(tx: Transaction, kind: str, id: UUID) -> Row | None:  # noqa: A002
    """Return where the newest specification of an own definition is: its draft, or its newest version's object."""
    newest = (version.c.definition_id == _D.id) & (version.c.number == _D.latest)
    return await tx.row(
        select(_D.draft, _D.latest, version.c.object_key, version.c.sha256)
        .select_from(definition.outerjoin(version, newest))
        .where(_D.id == id, _D.kind == kind)
    )


async def add(tx: Transaction, kind: str, id: UUID, name: str, draft: Any) -> None:  # noqa: A002
    """Add a definition that is only a draft."""
    now = tx.context.now
    await tx.execute(
        insert(definition).values(
            tenant_id=tx.tenant_id,
            id=id,
            kind=kind,
            name=name,
            status="draft",
            revision=1,
            latest=0,
            draft=draft,
            created_at=now,
            created_by=tx.context.actor,
            makers=list(dict.fromkeys((tx.context.person, tx.context.actor))),
            changed_at=now,
        )
    )


async def change(tx: Transaction, id: UUID, revision: int, **values: Any) -> None:  # noqa: A002
    """Change a definition and give it its next revision."""
    changed = {"revision": revision + 1, "changed_at": tx.context.now, **values}
    await tx.execute(update(definition).where(_D.id == id).values(**changed))


async def remove(tx: Transaction, id: UUID) -> None:  # noqa: A002
    """Delete a definition that was never published."""
    await tx.execute(delete(definition).where(_D.id == id))


async def add_version(tx: Transaction, **values: Any) -> None:
    """Add a version."""
    await tx.execute(insert(version).values(tenant_id=tx.tenant_id, **values))


async def add_reference(tx: Transaction, **values: Any) -> None:
    """Add what a version refers to; a target of our own is held by its foreign key."""
    await tx.execute(insert(reference).values(tenant_id=tx.tenant_id, **values))


async def versions(tx: Transaction, id: UUID) -> Sequence[Row]:  # noqa: A002
    """Return a definition's versions, newest first."""
    return await tx.rows(select(version).where(version.c.definition_id == id).order_by(version.c.number.desc()))


async def version_of(tx: Transaction, id: UUID, number: int) -> Row:  # noqa: A002
    """Return one version.

    Raises:
        NotFound: there is no such version.
    """
    row = await tx.row(select(version).where(version.c.definition_id == id, version.c.number == number))
    if row is None:
        raise NotFound(f"There is no version {number}.")
    return row


async def owned_in_force(tx: Transaction, id: UUID, on: date) -> Row | None:  # noqa: A002
    """Return the version of an own definition that is in force on a business date."""
    columns = version.c
    return await tx.row(
        select(version)
        .where(columns.definition_id == id, columns.effective_from <= on)
        .order_by(columns.effective_from.desc(), columns.number.desc())
        .limit(1)
    )


async def target_status(tx: Transaction, kind: str, id: UUID) -> str | None:  # noqa: A002
    """Return the status of an own definition that is about to be referred to, held until we commit."""
    statement = select(_D.status).where(_D.id == id, _D.kind == kind).with_for_update(read=True, key_share=True)
    status: str | None = await tx.value(statement)
    return status


async def dependents(tx: Transaction, id: UUID, *, copies: bool) -> Sequence[Row]:  # noqa: A002
    """Return who refers to a definition: our own current versions, and others' as their events told."""
    own = (
        select(_D.kind, _D.id, _D.name, _D.status)
        .join(reference, (reference.c.definition_id == _D.id) & (reference.c.number == _D.latest))
        .where(reference.c.target_id == id)
    )
    if not copies:
        return await tx.rows(own)
    status = case((dependent.c.archived, "archived"), else_="published").label("status")
    foreign = select(dependent.c.kind, dependent.c.id, dependent.c.name, status).where(dependent.c.target_id == id)
    return await tx.rows(union_all(own, foreign))


async def every_version(tx: Transaction) -> Sequence[Row]:
    """Return all versions of the tenant, oldest first."""
    return await tx.rows(select(version).order_by(version.c.published_at, version.c.definition_id, version.c.number))


async def references_of(tx: Transaction, id: UUID, number: int) -> Sequence[Row]:  # noqa: A002
    """Return what a version refers to."""
    columns = reference.c
    return await tx.rows(select(reference).where(columns.definition_id == id, columns.number == number))
