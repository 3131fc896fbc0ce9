"""A sealed draft becomes the next version."""

from collections.abc import Collection, Iterable, Sequence
from datetime import date
from typing import Any
from uuid import UUID

from libs.common.database.transaction import Row, Transaction
from libs.common.definitions import copies, store
from libs.common.definitions.kinds import Reference
from libs.common.errors import Conflict, FieldProblem, Invalid
from libs.common.events.definitions import DefinitionPublished, Dependency
from libs.common.objects import Sealed

ALWAYS = date(1, 1, 1)
"""In force from the beginning: where a first version names no date."""


class NotYetVisible(Conflict):
    """A version that was just published elsewhere is not known here yet."""

    type = "definition-not-yet-visible"
    title = "A definition is not visible here yet"


async def add_version(
    tx: Transaction,
    row: Row,
    sealed: Sealed,
    effective_from: date | None,
    references: Sequence[Reference],
    kinds: Collection[str],
    *,
    by: str | None = None,
) -> None:
    """Add the next version of a definition whose draft was sealed; the draft is none any more. The row is held."""
    number = row["latest"] + 1
    since = effective_from or (tx.context.now.date() if row["latest"] else ALWAYS)
    named: dict[str, Any] = {"kind": row["kind"], "name": row["name"], "number": number, "effective_from": since}
    content = {"sha256": sealed.sha256, "size": sealed.size}
    when = {"published_at": tx.context.now, "published_by": by or tx.context.actor}
    await store.add_version(tx, definition_id=row["id"], object_key=sealed.key, **named, **content, **when)
    await _add_references(tx, row["id"], number, references, kinds)
    await store.change(tx, row["id"], row["revision"], status="published", latest=number, draft=None, makers=[])
    published = DefinitionPublished(
        id=row["id"],
        key=sealed.key,
        references=dependencies(references),
        **named,
        **content,
    )
    await tx.emit(f"{row['kind']}.published", published, entity=row["id"])


async def _add_references(
    tx: Transaction,
    id: UUID,  # noqa: A002 - the resource's own word
    number: int,
    references: Sequence[Reference],
    kinds: Collection[str],
) -> None:
    for item in references:
        owned = item.id if item.kind in kinds else None
        await store.add_reference(
            tx, definition_id=id, number=number, target_kind=item.kind, target_id=item.id, owned_id=owned
        )


def dependencies(references: Iterable[Reference]) -> tuple[Dependency, ...]:
    """Return references as events name them."""
    return tuple(Dependency(kind=item.kind, id=item.id) for item in references)


def distinct(references: Iterable[Reference]) -> list[Reference]:
    """Return each of the references once."""
    return list({(item.kind, item.id): item for item in references}.values())


async def require_published(tx: Transaction, kinds: Collection[str], reference: Reference) -> None:
    """Refuse a reference to what is not published, or archived; `kinds` are the service's own.

    Raises:
        NotYetVisible: another's definition is not known here (yet). Invalid: it cannot be used.
    """
    if reference.kind in kinds:
        status = await store.target_status(tx, reference.kind, reference.id)
        if status != "published":
            raise _not_usable(reference, status)
        return
    row = await copies.newest(tx, reference.kind, reference.id)
    if row is None:
        raise NotYetVisible(
            f"The {reference.kind} {reference.id} is not published, or not known here yet.",
            fields=[FieldProblem(reference.field, "is no published definition known here")],
            retry_after=1,
        )
    if row["archived"]:
        raise _not_usable(reference, "archived")


def _not_usable(reference: Reference, status: str | None) -> Invalid:
    reasons = {None: "does not exist", "draft": "is not published", "archived": "is archived"}
    problem = FieldProblem(reference.field, f"the {reference.kind} {reasons.get(status, 'is not usable')}")
    return Invalid("It refers to something that cannot be used.", type="bad-reference", fields=[problem])
