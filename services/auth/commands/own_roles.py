"""A tenant's own roles come, change and go."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

from libs.common.database.transaction import Row, Transaction
from libs.common.errors import Conflict, FieldProblem, Invalid
from libs.common.events.auth import RoleChanged
from libs.common.http.door import require_revision
from libs.common.identity.principal import Principal
from services.auth import domain, permissions
from services.auth.commands.lessening import Holders
from services.auth.commands.roles import predefined, predefined_id
from services.auth.store import accounts

MAX_ROLES = 200


async def listing(tx: Transaction) -> list[dict[str, Any]]:
    """Return the predefined roles, then the tenant's own by name."""
    fixed = [
        {"id": predefined_id(name), "name": name, "permissions": sorted(allowed), "predefined": True}
        for name, allowed in predefined(tx).items()
    ]
    own = await tx.rows(accounts.ROLES.order_by(accounts.ROLE[1]))
    return fixed + [{**row, "predefined": False} for row in own]


async def create(tx: Transaction, caller: Principal, name: str, allowed: Sequence[str]) -> UUID:
    """Add a role to the tenant.

    Raises:
        Invalid: a permission does not exist.
        Forbidden: a permission is not the caller's to give.
        Conflict: there is a role of that name, or there are too many roles.
    """
    granted = _require_permissions(allowed)
    domain.require_assignable(caller.permissions, granted)
    if name in permissions.PREDEFINED or name in permissions.PLATFORM_ROLES:
        raise Conflict("A role of this name exists already.", type="role-exists")
    if len(await tx.rows(accounts.ROLES)) >= MAX_ROLES:
        raise Conflict(f"A tenant can have {MAX_ROLES} roles of its own.", type="too-many-roles")
    id = uuid4()  # noqa: A001
    await accounts.add_role(tx, id, name, sorted(granted))
    await _say(tx, "role.created", id, name, None, granted)
    return id


async def change(
    tx: Transaction,
    caller: Principal,
    id: UUID,  # noqa: A002
    revision: int,
    allowed: Sequence[str],
) -> None:
    """Give a role other permissions; its name stays, since assignments know it by name.

    Tokens of whoever has it are void if they say more than it gives now.

    Raises:
        NotFound, PreconditionFailed, Invalid, Forbidden, Conflict: as for `create`; a predefined role cannot change.
    """
    row = await _own(tx, id)
    require_revision(revision, row["revision"])
    granted, before = _require_permissions(allowed), frozenset(row["permissions"])
    domain.require_assignable(caller.permissions, granted, before)
    holders = await Holders.of(tx, row["name"])
    await accounts.change_role(tx, id, sorted(granted))
    await holders.lessened(tx)
    await _say(tx, "role.updated", id, row["name"], before, granted)


async def remove(tx: Transaction, caller: Principal, id: UUID) -> None:  # noqa: A002
    """Remove a role that nobody has.

    Raises:
        NotFound: there is no such role.
        Conflict: it is predefined, or somebody has it.
    """
    row = await _own(tx, id)
    before = frozenset(row["permissions"])
    domain.require_assignable(caller.permissions, frozenset(), before)
    if await accounts.role_is_used(tx, row["name"]):
        raise Conflict("Somebody has this role; take it away first.", type="role-in-use")
    await accounts.remove_role(tx, id)
    await _say(tx, "role.deleted", id, row["name"], before, None)


async def _own(tx: Transaction, id: UUID) -> Row:  # noqa: A002
    if id in {predefined_id(name) for name in predefined(tx)}:
        raise Conflict("Predefined roles are the same in every tenant and cannot change.", type="role-predefined")
    return await accounts.find_role(tx, id, lock=True)


def _require_permissions(names: Sequence[str]) -> frozenset[str]:
    wrong = [
        FieldProblem(f"/permissions/{position}", "there is no such permission")
        for position, name in enumerate(names)
        if not permissions.exists(name)
    ]
    if wrong:
        raise Invalid("The permissions cannot be given.", fields=wrong)
    return frozenset(names)


async def _say(
    tx: Transaction,
    event: str,
    id: UUID,  # noqa: A002
    name: str,
    before: frozenset[str] | None,
    after: frozenset[str] | None,
) -> None:
    def shown(allowed: frozenset[str] | None) -> dict[str, Any] | None:
        return None if allowed is None else {"permissions": sorted(allowed)}

    await tx.emit(event, RoleChanged(role_id=id, name=name, before=shown(before), after=shown(after)), entity=id)
