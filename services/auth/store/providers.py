"""Identity providers of a tenant."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Boolean, Column, DateTime, Integer, LargeBinary, Table, Text, Uuid, delete, select, update
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, insert

from libs.common.database.transaction import Row, Transaction
from libs.common.errors import Conflict, NotFound
from services.auth.store.tables import METADATA

identity_provider = Table(
    "identity_provider",
    METADATA,
    Column("tenant_id", Uuid, primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("name", Text),
    Column("issuer", Text),
    Column("client_id", Text),
    Column("sealed", LargeBinary),
    Column("scopes", ARRAY(Text)),
    Column("domains", ARRAY(Text)),
    Column("provisions", Boolean),
    Column("roles", ARRAY(Text)),
    Column("trusts_second_factor", Boolean),
    Column("acr_values", ARRAY(Text)),
    Column("roles_claim", Text),
    Column("claimed_roles", JSONB),
    Column("set_by", Text),
    Column("enabled", Boolean),
    Column("revision", Integer),
    Column("created_at", DateTime(timezone=True)),
)
_P = identity_provider.c
PROVIDER = (_P.id, _P.name, _P.issuer, _P.client_id, _P.scopes, _P.domains, _P.provisions, _P.roles,
            _P.trusts_second_factor, _P.acr_values, _P.roles_claim, _P.claimed_roles, _P.enabled, _P.revision, _P.created_at)  # fmt: skip
PROVIDERS = select(*PROVIDER)
_TAKEN = "A provider of this name exists already."


async def add(tx: Transaction, id: UUID, sealed: bytes, values: Mapping[str, Any]) -> None:  # noqa: A002
    """Add a provider.

    Raises:
        Conflict: the tenant has one of that name.
    """
    row = {"tenant_id": tx.tenant_id, "id": id, "sealed": sealed, "revision": 1, "created_at": tx.context.now}
    added = (
        insert(identity_provider).values(**row, **values).on_conflict_do_nothing(index_elements=["tenant_id", "name"])
    )
    if not await tx.execute(added):
        raise Conflict(_TAKEN, type="provider-exists")


async def find(tx: Transaction, id: UUID, *, lock: bool = False) -> Row:  # noqa: A002
    """Return a provider with its sealed secret.

    Raises:
        NotFound: the tenant has no such provider.
    """
    statement = select(*PROVIDER, _P.sealed, _P.set_by).where(_P.id == id)
    row = await tx.row(statement.with_for_update() if lock else statement)
    if row is None:
        raise NotFound("There is no such identity provider.")
    return row


async def find_enabled(tx: Transaction, id: UUID) -> Row | None:  # noqa: A002
    """Return a provider that people may log in by, or None."""
    return await tx.row(select(*PROVIDER, _P.sealed, _P.set_by).where(_P.id == id, _P.enabled))


async def enabled(tx: Transaction) -> Sequence[Row]:
    """Return id and name of the providers that people may log in by."""
    return await tx.rows(select(_P.id, _P.name).where(_P.enabled).order_by(_P.name))


async def count(tx: Transaction) -> int:
    """Return how many providers the tenant has."""
    return len(await tx.rows(select(_P.id)))


async def change(tx: Transaction, id: UUID, values: Mapping[str, Any]) -> None:  # noqa: A002
    """Change a locked provider and count the revision.

    Raises:
        Conflict: another one has that name.
    """
    if await tx.value(select(_P.id).where(_P.name == values["name"], _P.id != id)):
        raise Conflict(_TAKEN, type="provider-exists")
    statement = update(identity_provider).where(_P.tenant_id == tx.tenant_id, _P.id == id)
    await tx.execute(statement.values(**values, revision=_P.revision + 1))


async def remove(tx: Transaction, id: UUID) -> None:  # noqa: A002
    """Remove a provider with what is linked to it."""
    await tx.execute(delete(identity_provider).where(_P.tenant_id == tx.tenant_id, _P.id == id))
