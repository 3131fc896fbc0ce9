"""Identity providers of a tenant: they come, change and go; what came of logins by them goes with them."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID, uuid4

from libs.common.crypto.vault import Vault
from libs.common.database.transaction import Row, Transaction
from libs.common.errors import Conflict
from libs.common.events.auth import ProviderChanged
from libs.common.http.door import require_revision
from libs.common.identity.principal import Principal
from services.auth import domain
from services.auth.commands import grants, roles
from services.auth.store import providers, upstream
from services.auth.upstream import claimed
from services.auth.upstream.terms import Terms

MOST = 20
_PLACE = {"table": "identity_provider", "column": "sealed"}


async def create(tx: Transaction, vault: Vault, caller: Principal, issuer: str, secret: str, terms: Terms) -> UUID:
    """Add a provider whose description was looked at; returns its id.

    Raises:
        Invalid: a role does not exist, or the terms contradict themselves.
        Forbidden: a role is not the caller's to give, or the second factor is not theirs to leave to others.
        Conflict: there is one of that name, or there are too many.
    """
    terms.require_sound()
    await _require_assignable(tx, caller, terms, before=None)
    if await providers.count(tx) >= MOST:
        raise Conflict(f"A tenant can have {MOST} identity providers.", type="too-many-providers")
    id_ = uuid4()
    sealed = await vault.seal(tx, row=str(id_), secret=secret.encode(), **_PLACE)
    await providers.add(tx, id_, sealed, {"issuer": issuer, "set_by": caller.subject, **terms.values()})
    after = {"issuer": issuer, **terms.values()}
    await tx.emit("provider.created", ProviderChanged(provider_id=id_, name=terms.name, after=after), entity=id_)
    return id_


async def change(
    tx: Transaction,
    vault: Vault,
    caller: Principal,
    id: UUID,  # noqa: A002
    revision: int,
    secret: str | None,
    terms: Terms,
) -> None:
    """Give a provider other terms, and another secret where one is given; disabling it ends what came of it.

    Raises:
        NotFound, PreconditionFailed, Invalid, Forbidden, Conflict: as for `create`.
    """
    row = await providers.find(tx, id, lock=True)
    require_revision(revision, row["revision"])
    terms.require_sound()
    await _require_assignable(tx, caller, terms, before=row)
    values = {**terms.values(), "set_by": caller.subject}
    if secret is not None:
        values["sealed"] = await vault.seal(tx, row=str(id), secret=secret.encode(), **_PLACE)
    await providers.change(tx, id, values)
    links = await upstream.of_provider(tx, id)
    if row["enabled"] and not terms.enabled:
        await end_logins(tx, [one["id"] for one in links])
    same = terms.enabled and terms.roles_claim == row["roles_claim"]
    await claimed.take_back(tx, links, still=terms.given_by_claim() if same else ())
    before = {name: row[name] for name in terms.values()}
    changed = ProviderChanged(provider_id=id, name=terms.name, before=before, after=terms.values())
    await tx.emit("provider.updated", changed, entity=id)


async def remove(tx: Transaction, caller: Principal, id: UUID) -> None:  # noqa: A002
    """Remove a provider with its links; what came of logins by it ends.

    Raises:
        NotFound: there is no such provider.
        Forbidden: it gives roles that are not the caller's to take.
    """
    row = await providers.find(tx, id, lock=True)
    before = await roles.permissions_of(tx, roles_of(row))
    domain.require_assignable(caller.permissions, frozenset(), before)
    links = await upstream.of_provider(tx, id)
    await end_logins(tx, [one["id"] for one in links])
    await claimed.take_back(tx, links)
    await providers.remove(tx, id)
    gone = ProviderChanged(
        provider_id=id, name=row["name"], before={"issuer": row["issuer"], "enabled": row["enabled"]}
    )
    await tx.emit("provider.deleted", gone, entity=id)


async def end_logins(tx: Transaction, ids: Sequence[UUID]) -> None:
    """Void everything that came of logins by these links, at once and everywhere."""
    if not ids:
        return
    await upstream.end_unredeemed(tx, ids)
    for grant in await upstream.live_grants(tx, ids):
        await grants.revoke(tx, grant, "revoked")


def roles_of(row: Mapping[str, Any]) -> list[str]:
    """Return every role that a provider gives, at somebody's first login or by a claim."""
    return [*row["roles"], *(name for names in row["claimed_roles"].values() for name in names)]


async def open_secret(tx: Transaction, vault: Vault, row: Row) -> str:
    """Return a provider's client secret."""
    return (await vault.open(tx, row=str(row["id"]), sealed=row["sealed"], **_PLACE)).decode()


async def _require_assignable(
    tx: Transaction, caller: Principal, terms: Terms, before: Mapping[str, Any] | None
) -> None:
    """Refuse terms that would give, or take, more than the caller may."""
    given = await roles.require_roles(tx, terms.roles) | await roles.require_roles(tx, terms.all_roles())
    held = await roles.permissions_of(tx, roles_of(before)) if before else frozenset[str]()
    domain.require_assignable(caller.permissions, given, held)
    if terms.trusts_second_factor and not (before and before["trusts_second_factor"]):
        caller.require("tenant:write")  # it lessens what the tenant asks of logins
