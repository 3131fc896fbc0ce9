"""Tenants, people and their memberships, custom roles."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Text, bindparam, delete, func, select, update
from sqlalchemy.dialects.postgresql import ARRAY, insert

from libs.common.database.transaction import Row, Transaction
from libs.common.errors import Conflict, NotFound
from services.auth.store.providers import identity_provider
from services.auth.store.tables import client, identity, membership, role, setup_link, tenant

_I, _M, _R = identity.c, membership.c, role.c
USER = (_M.id, _I.email, _M.name, _M.roles, _M.status, _M.revision, _M.created_at)
ROLE = (_R.id, _R.name, _R.permissions, _R.revision, _R.created_at)
MEMBERS = select(*USER).select_from(membership.join(identity, _I.id == _M.id))
ROLES = select(*ROLE)


async def add_tenant(tx: Transaction, name: str) -> None:
    """Add the transaction's tenant."""
    values = {"tenant_id": tx.tenant_id, "name": name, "status": "active", "created_at": tx.context.now}
    await tx.execute(insert(tenant).values(values))


async def ensure_tenant(tx: Transaction, name: str) -> None:
    """Add the transaction's tenant where it is missing."""
    values = {"tenant_id": tx.tenant_id, "name": name, "status": "active", "created_at": tx.context.now}
    await tx.execute(insert(tenant).values(values).on_conflict_do_nothing())


async def find_tenant(tx: Transaction, *, lock: bool = False) -> Row:
    """Return the transaction's tenant.

    Raises:
        NotFound: there is none of that id.
    """
    statement = select(tenant).where(tenant.c.tenant_id == tx.tenant_id)
    row = await tx.row(statement.with_for_update() if lock else statement)
    if row is None:
        raise NotFound("There is no such tenant.")
    return row


async def set_tenant_status(tx: Transaction, status: str) -> None:
    """Suspend or resume the transaction's tenant."""
    await tx.execute(update(tenant).where(tenant.c.tenant_id == tx.tenant_id).values(status=status))


async def set_second_factor(tx: Transaction, policy: str, begins: datetime | None) -> None:
    """Say whether the transaction's tenant asks for a second factor, and from when on of those who are logged in."""
    statement = update(tenant).where(tenant.c.tenant_id == tx.tenant_id)
    await tx.execute(statement.values(second_factor=policy, second_factor_from=begins))


async def find_identity(tx: Transaction, email: str) -> Row | None:
    """Return the person with exactly this normalised address."""
    return await tx.row(select(identity).where(_I.email == email))


async def ensure_identity(
    tx: Transaction,
    id: UUID,  # noqa: A002
    email: str,
    password_hash: str | None,
    *,
    proven: bool = False,
) -> UUID:
    """Add a person, or return the one who has the address already, left as they are. None: they have no password.

    `proven` says that whom is added here reads the address's mail.
    """
    values = {"id": id, "email": email, "password_hash": password_hash, "created_at": tx.context.now}
    values |= {"email_proven_at": tx.context.now} if proven else {}
    await tx.execute(insert(identity).values(values).on_conflict_do_nothing(index_elements=["email"]))
    found: UUID = await tx.value(select(_I.id).where(_I.email == email))
    return found


async def set_password_hash(tx: Transaction, user_id: UUID, password_hash: str, *, alone: bool | None = None) -> None:
    """Keep another hash of a person's password; `alone` says that a new password may be the only factor."""
    more = {} if alone is None else {"password_alone": alone}
    await tx.execute(update(identity).where(_I.id == user_id).values(password_hash=password_hash, **more))


async def forget_password(tx: Transaction, user_id: UUID) -> None:
    """Leave a person without a password until they choose one by mail; the next one may be the only factor."""
    await tx.execute(update(identity).where(_I.id == user_id).values(password_hash=None, password_alone=True))


async def email_of(tx: Transaction, user_id: UUID) -> str:
    """Return a person's address."""
    found: str = await tx.value(select(_I.email).where(_I.id == user_id))
    return found


async def password_stands_alone(tx: Transaction, user_id: UUID) -> bool:
    """Say whether a person's password may be the only factor."""
    return bool(await tx.value(select(_I.password_alone).where(_I.id == user_id)))


async def own_memberships(tx: Transaction, user_id: UUID) -> Sequence[Row]:
    """Return every membership of a person who has proven to be that person, with the tenants' names and states."""
    await tx.connection.execute("SELECT set_config('app.user_id', $1, true)", str(user_id))
    joined = membership.join(tenant, tenant.c.tenant_id == _M.tenant_id)
    columns = (
        _M.tenant_id,
        _M.roles,
        _M.status,
        tenant.c.name,
        tenant.c.status.label("tenant_status"),
        tenant.c.second_factor,
    )
    statement = select(*columns).select_from(joined).where(_M.id == user_id)
    rows = await tx.rows(statement.order_by(_M.created_at, _M.tenant_id))
    await tx.connection.execute("SELECT set_config('app.user_id', '', true)")
    return rows


async def add_member(tx: Transaction, user_id: UUID, name: str, roles: Sequence[str]) -> None:
    """Make a person a member of the tenant.

    Raises:
        Conflict: they are one already.
    """
    values = {"tenant_id": tx.tenant_id, "id": user_id, "name": name, "roles": list(roles), "status": "active"}
    statement = insert(membership).values(**values, revision=1, created_at=tx.context.now)
    if not await tx.execute(statement.on_conflict_do_nothing()):
        raise Conflict("A user with this address exists already.", type="user-exists")


async def find_member(tx: Transaction, user_id: UUID, *, lock: bool = False) -> Row:
    """Return a member.

    Raises:
        NotFound: the tenant has no such member.
    """
    statement = MEMBERS.where(_M.id == user_id)
    row = await tx.row(statement.with_for_update(of=membership) if lock else statement)
    if row is None:
        raise NotFound("There is no such user.")
    return row


async def member(tx: Transaction, user_id: UUID, *, keep: bool = False) -> Row | None:
    """Return a member's roles and status, or None; `keep` lets nobody change them until the transaction ends."""
    statement = select(_M.id, _M.roles, _M.status).where(_M.id == user_id)
    return await tx.row(statement.with_for_update(read=True) if keep else statement)


async def members_with_role(tx: Transaction, name: str) -> Sequence[Row]:
    """Return the members who have a role, locked."""
    statement = select(_M.id, _M.roles, _M.status).where(_M.roles.contains([name]))
    return await tx.rows(statement.order_by(_M.id).with_for_update())


async def remove_member(tx: Transaction, user_id: UUID) -> None:
    """Let a member go; the person stays."""
    await tx.execute(delete(membership).where(_M.tenant_id == tx.tenant_id, _M.id == user_id))


async def change_member(tx: Transaction, user_id: UUID, **values: Any) -> None:
    """Change a member and count the revision."""
    statement = update(membership).where(_M.tenant_id == tx.tenant_id, _M.id == user_id)
    await tx.execute(statement.values(**values, revision=_M.revision + 1))


async def lock_owners(tx: Transaction) -> Sequence[UUID]:
    """Return the tenant's active owners, locked, so that two changes cannot each remove the last but one."""
    statement = select(_M.id).where(_M.status == "active", _M.roles.contains(["owner"]))
    return [row["id"] for row in await tx.rows(statement.order_by(_M.id).with_for_update())]


async def custom_roles(tx: Transaction, names: Sequence[str], *, keep: bool = False) -> dict[str, frozenset[str]]:
    """Return the permissions of the tenant's own roles of these names; `keep` locks them against deletion."""
    if not names:
        return {}
    wanted = (
        select(_R.name, _R.permissions)
        .where(_R.name == func.any(bindparam(None, list(names), type_=ARRAY(Text))))
        .order_by(_R.name)
    )
    rows = await tx.rows(wanted.with_for_update(read=True) if keep else wanted)
    return {row["name"]: frozenset(row["permissions"]) for row in rows}


async def add_role(tx: Transaction, id: UUID, name: str, permissions: Sequence[str]) -> None:  # noqa: A002
    """Add a role.

    Raises:
        Conflict: the tenant has one of that name.
    """
    values = {"tenant_id": tx.tenant_id, "id": id, "name": name, "permissions": list(permissions)}
    statement = insert(role).values(**values, revision=1, created_at=tx.context.now)
    if not await tx.execute(statement.on_conflict_do_nothing()):
        raise Conflict("A role of this name exists already.", type="role-exists")


async def find_role(tx: Transaction, id: UUID, *, lock: bool = False) -> Row:  # noqa: A002
    """Return one of the tenant's own roles.

    Raises:
        NotFound: the tenant has no such role.
    """
    statement = ROLES.where(_R.id == id)
    row = await tx.row(statement.with_for_update() if lock else statement)
    if row is None:
        raise NotFound("There is no such role.")
    return row


async def change_role(tx: Transaction, id: UUID, permissions: Sequence[str]) -> None:  # noqa: A002
    """Give a role other permissions."""
    statement = update(role).where(_R.tenant_id == tx.tenant_id, _R.id == id)
    await tx.execute(statement.values(permissions=list(permissions), revision=_R.revision + 1))


async def remove_role(tx: Transaction, id: UUID) -> None:  # noqa: A002
    """Remove a role that is locked."""
    await tx.execute(delete(role).where(_R.tenant_id == tx.tenant_id, _R.id == id))


async def role_is_used(tx: Transaction, name: str) -> bool:
    """Say whether any user or client of the tenant has the role, or somebody who comes by a provider would get it."""
    for table in (membership, client, identity_provider):
        statement = select(table.c.tenant_id).where(table.c.roles.contains([name])).limit(1)
        if await tx.value(statement):
            return True
    given = await tx.rows(select(identity_provider.c.claimed_roles))
    return any(name in names for row in given for names in row["claimed_roles"].values())


async def add_setup_link(tx: Transaction, digest: bytes, expires_at: Any) -> None:
    """Keep the hash of a set-up link; earlier unused ones end here."""
    unused = update(setup_link).where(setup_link.c.tenant_id == tx.tenant_id, setup_link.c.used_at.is_(None))
    await tx.execute(unused.values(used_at=tx.context.now))
    await tx.execute(insert(setup_link).values(tenant_id=tx.tenant_id, sha256=digest, expires_at=expires_at))


async def setup_link_is_usable(tx: Transaction, digest: bytes) -> bool:
    """Say whether a set-up link is known, unused and not expired."""
    return await tx.value(select(setup_link.c.sha256).where(_usable(tx, digest))) is not None


async def use_setup_link(tx: Transaction, digest: bytes) -> bool:
    """Use a set-up link up; false where it is unknown, used or expired."""
    statement = update(setup_link).where(setup_link.c.tenant_id == tx.tenant_id, _usable(tx, digest))
    return bool(await tx.execute(statement.values(used_at=tx.context.now)))


def _usable(tx: Transaction, digest: bytes) -> ColumnElement[bool]:
    links = setup_link.c
    return (links.sha256 == digest) & links.used_at.is_(None) & (links.expires_at > tx.context.now)
