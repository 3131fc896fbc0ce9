"""Tenants and their people. Events carry ids, never addresses or names of persons."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal
from uuid import UUID, uuid4

from libs.common.database.transaction import Row, Transaction
from libs.common.errors import Conflict, Forbidden
from libs.common.events.auth import PolicyChanged, TenantChanged, UserChanged
from libs.common.http.door import require_revision
from libs.common.identity.principal import Principal
from libs.common.ids import SYSTEM_TENANT
from services.auth import domain
from services.auth.commands import identities, lessening, roles
from services.auth.store import accounts, upstream


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody to be made a user: a normalised address, a name, the hash of a password."""

    email: str
    name: str
    password_hash: str | None
    proven: bool = False
    """Whether they have shown that they read the address's mail; it counts where the account is made by it."""


async def create(tx: Transaction, name: str, owner: Person) -> UUID:
    """Make the transaction's tenant, with its first owner; returns the owner's id."""
    await accounts.add_tenant(tx, name)
    created = TenantChanged(tenant_id=tx.tenant_id, name=name, status="active")
    await tx.emit("tenant.created", created, entity=tx.tenant_id)
    return await add_user(tx, owner, ["owner"])


async def set_status(tx: Transaction, status: Literal["active", "suspended"]) -> None:
    """Suspend the transaction's tenant, which voids its tokens everywhere, or resume it.

    Raises:
        NotFound: there is no such tenant.
        Conflict: it is in that state already, or is the system tenant.
    """
    row = await accounts.find_tenant(tx, lock=True)
    if tx.tenant_id == SYSTEM_TENANT or row["status"] == status:
        raise Conflict(f"The tenant is {row['status']}.", type="tenant-state")
    await accounts.set_tenant_status(tx, status)
    event = "tenant.suspended" if status == "suspended" else "tenant.resumed"
    changed = TenantChanged(tenant_id=tx.tenant_id, name=row["name"], status=status)
    await tx.emit(event, changed, entity=tx.tenant_id)


async def set_second_factor(
    tx: Transaction, policy: Literal["optional", "required"], grace: timedelta = timedelta(0)
) -> None:
    """Ask every login for a second factor, or leave it to the person; logins from before go on for `grace`."""
    row = await accounts.find_tenant(tx, lock=True)
    now = tx.context.now
    begins = now + grace if policy == "required" else None
    if row["second_factor"] == policy and not grace and (row["second_factor_from"] or now) <= now:
        return
    await accounts.set_second_factor(tx, policy, begins)
    said = {"second_factor": policy, **({"second_factor_from": begins.isoformat()} if begins else {})}
    changed = PolicyChanged(tenant_id=tx.tenant_id, before={"second_factor": row["second_factor"]}, after=said)
    await tx.emit("policy.changed", changed, entity=tx.tenant_id)


async def add_user(tx: Transaction, person: Person, names: Sequence[str]) -> UUID:
    """Add a user. Somebody who has the address already keeps their password and becomes a member here too.

    Raises:
        Conflict: the tenant has a user of that address.
    """
    id = await accounts.ensure_identity(  # noqa: A001
        tx, uuid4(), person.email, person.password_hash, proven=person.proven
    )
    await add_member(tx, id, person.name, names)
    return id


async def add_member(tx: Transaction, id: UUID, name: str, names: Sequence[str]) -> None:  # noqa: A002
    """Make somebody who exists a user of the tenant.

    Raises:
        Conflict: they are one already.
    """
    await accounts.add_member(tx, id, name, names)
    after = {"roles": list(names), "status": "active"}
    await tx.emit("user.created", UserChanged(user_id=id, after=after), entity=id)


async def change_user(
    tx: Transaction,
    caller: Principal,
    id: UUID,  # noqa: A002
    revision: int,
    name: str,
    names: Sequence[str],
) -> None:
    """Give a user another name or other roles. Tokens that say more than these roles are void.

    Raises:
        NotFound: there is no such user.
        PreconditionFailed: they changed in between.
        Invalid: a role does not exist.
        Forbidden: a role is not the caller's to give or take, or the user is the caller.
        Conflict: the tenant would have no owner.
    """
    await roles.keep(tx, names)
    owners = await accounts.lock_owners(tx)
    row = await accounts.find_member(tx, id, lock=True)
    require_revision(revision, row["revision"])
    if set(names) != set(row["roles"]):
        before, after = await _change_of_roles(tx, caller, row, names)
        _require_owner(owners, id, stays="owner" in names)
        await lessening.of_user(tx, id, before, after)
    await accounts.change_member(tx, id, name=name, roles=list(names))
    changed = UserChanged(user_id=id, before={"roles": list(row["roles"])}, after={"roles": list(names)})
    await tx.emit("user.updated", changed, entity=id)


async def _change_of_roles(
    tx: Transaction, caller: Principal, row: Row, names: Sequence[str]
) -> tuple[frozenset[str], frozenset[str]]:
    """Return what a member could and can do, if the caller may change it so."""
    if caller.subject == f"user:{row['id']}":
        raise Forbidden("Nobody changes their own roles.", type="own-roles")
    before = await roles.permissions_of(tx, row["roles"])
    after = await roles.require_roles(tx, names)
    domain.require_assignable(caller.permissions, after, before)
    return before, after


async def set_user_status(
    tx: Transaction,
    caller: Principal,
    id: UUID,  # noqa: A002
    status: Literal["active", "disabled"],
) -> None:
    """Disable a user, which voids their tokens, or enable them again.

    Raises:
        NotFound: there is no such user.
        Forbidden: the user may do more than the caller, or is the caller.
        Conflict: they are in that state already, or are the last owner.
    """
    owners = await accounts.lock_owners(tx)
    row = await accounts.find_member(tx, id, lock=True)
    if caller.subject == f"user:{id}":
        raise Forbidden("Nobody disables themselves.", type="own-status")
    domain.require_assignable(caller.permissions, await roles.permissions_of(tx, row["roles"]))
    if row["status"] == status:
        raise Conflict(f"The user is {status} already.", type="user-state")
    if status == "disabled":
        _require_owner(owners, id, stays=False)
        await lessening.shut_out(tx, id)
    await accounts.change_member(tx, id, status=status)
    before: dict[str, Any] = {"status": row["status"]}
    event = "user.disabled" if status == "disabled" else "user.updated"
    await tx.emit(event, UserChanged(user_id=id, before=before, after={"status": status}), entity=id)


async def remove_user(tx: Transaction, caller: Principal, id: UUID) -> None:  # noqa: A002
    """Take a user out of the tenant and void their tokens; the person and their other tenants stay.

    Raises:
        NotFound: there is no such user.
        Forbidden: the user may do more than the caller, or is the caller.
        Conflict: they are the last owner.
    """
    if caller.subject == f"user:{id}":
        raise Forbidden("Nobody removes themselves; who goes, leaves.", type="own-status")
    owners = await accounts.lock_owners(tx)
    row = await accounts.find_member(tx, id, lock=True)
    domain.require_assignable(caller.permissions, await roles.permissions_of(tx, row["roles"]))
    await _part(tx, owners, row, "user.removed")


async def leave(tx: Transaction, id: UUID) -> None:  # noqa: A002
    """Let a user leave the tenant by themselves.

    Raises:
        NotFound: they are no member.
        Conflict: they are the last owner.
    """
    owners = await accounts.lock_owners(tx)
    await _part(tx, owners, await accounts.find_member(tx, id, lock=True), "user.left")


async def _part(tx: Transaction, owners: Sequence[UUID], row: Row, event: str) -> None:
    _require_owner(owners, row["id"], stays=False)
    for link in await upstream.of_person(tx, row["id"]):
        await identities.unlink(tx, link["id"], user_id=row["id"])
    await lessening.shut_out(tx, row["id"])
    await accounts.remove_member(tx, row["id"])
    before = {"roles": list(row["roles"]), "status": row["status"]}
    await tx.emit(event, UserChanged(user_id=row["id"], before=before), entity=row["id"])


def _require_owner(owners: Sequence[UUID], id: UUID, *, stays: bool) -> None:  # noqa: A002
    if not stays and list(owners) == [id]:
        raise Conflict("A tenant keeps at least one active owner.", type="last-owner")
