"""Roles become permissions."""

from collections.abc import Sequence
from uuid import UUID

from libs.common.database.transaction import Transaction
from libs.common.errors import FieldProblem, Invalid
from libs.common.ids import SYSTEM_TENANT, derived_id
from services.auth import permissions
from services.auth.store import accounts


def predefined(tx: Transaction) -> dict[str, frozenset[str]]:
    """Return the roles that the transaction's tenant has from the start."""
    platform = tx.tenant_id == SYSTEM_TENANT
    return {**permissions.PREDEFINED, **(permissions.PLATFORM_ROLES if platform else {})}


def predefined_id(name: str) -> UUID:
    """Return the id of a predefined role, the same everywhere."""
    return derived_id("role", name)


async def keep(tx: Transaction, names: Sequence[str]) -> None:
    """Keep roles as they are until the transaction ends; done before people and clients are locked, as everywhere."""
    await accounts.custom_roles(tx, names, keep=True)


async def permissions_of(tx: Transaction, names: Sequence[str]) -> frozenset[str]:
    """Return what the roles allow together; names that no longer exist allow nothing."""
    known = predefined(tx)
    own = await accounts.custom_roles(tx, [name for name in names if name not in known])
    return frozenset().union(*({**own, **known}.get(name, frozenset()) for name in names))


async def require_roles(tx: Transaction, names: Sequence[str]) -> frozenset[str]:
    """Return what the roles allow together, keeping them from being deleted meanwhile.

    Raises:
        Invalid: a role does not exist, or is named twice.
    """
    known = predefined(tx)
    own = await accounts.custom_roles(tx, [name for name in names if name not in known], keep=True)
    found = {**own, **known}
    wrong = [FieldProblem(f"/roles/{i}", "there is no such role") for i, name in enumerate(names) if name not in found]
    if wrong or len(set(names)) != len(names):
        raise Invalid("The roles cannot be given.", fields=wrong or [FieldProblem("/roles", "names a role twice")])
    return frozenset().union(*(found[name] for name in names))
