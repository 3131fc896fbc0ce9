"""What an operator does without the API: on the machine itself, under the server's database role."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from libs.common.context import Context
from libs.common.crypto.vault import Vault
from libs.common.database.pool import Database
from libs.common.database.transaction import Transaction
from libs.common.errors import NotFound
from libs.common.ids import SYSTEM_TENANT
from services.auth import domain, opaque
from services.auth.authority import pepper_of
from services.auth.commands import clients, roles, tenants
from services.auth.flows import lost_factors
from services.auth.mail.outbox import Outbox
from services.auth.password_policy import require_good_password
from services.auth.passwords import hash_password
from services.auth.permissions import PLATFORM, PREDEFINED
from services.auth.store import accounts, mails
from services.auth.throttle import Throttle

ACTOR = "service:cli"
SETUP_LIFE = timedelta(hours=24)
_EVERYTHING = PREDEFINED["owner"] | {f"{PLATFORM}:*"}
_TENANTS = "SELECT tenant_id, name, status, created_at FROM tenant WHERE tenant_id <> $1 ORDER BY created_at"


@dataclass(frozen=True, slots=True)
class NewPerson:
    """Somebody as an operator names them."""

    email: str
    name: str
    password: str


async def make_person(new: NewPerson) -> tenants.Person:
    """Check the address and the password, and hash it.

    Raises:
        Invalid: one of them cannot be used; says why.
    """
    email = domain.normalise_email(new.email)
    text = require_good_password(new.password, email=email)
    return tenants.Person(email, new.name, await asyncio.to_thread(hash_password, text))


async def create_tenant(database: Database, now: datetime, name: str, owner: NewPerson) -> tuple[UUID, UUID]:
    """Make a tenant with its owner; returns their ids.

    Raises:
        Invalid: the address or the password cannot be used.
    """
    person, tenant = await make_person(owner), uuid4()
    async with database.transaction(Context(tenant, ACTOR, now)) as tx:
        return tenant, await tenants.create(tx, name, person)


async def create_user(database: Database, now: datetime, tenant: UUID, new: NewPerson, names: Sequence[str]) -> UUID:
    """Add a user to a tenant.

    Raises:
        Invalid: the address, the password or a role cannot be used.
        NotFound: there is no such tenant.
        Conflict: the tenant has a user of that address.
    """
    person = await make_person(new)
    async with database.transaction(Context(tenant, ACTOR, now)) as tx:
        await _require_tenant(tx)
        await roles.require_roles(tx, names)
        return await tenants.add_user(tx, person, names)


async def create_client(
    database: Database, now: datetime, tenant: UUID, name: str, names: Sequence[str]
) -> tuple[UUID, str]:
    """Add an OAuth2 client to a tenant; returns its id and its secret, shown only now.

    Raises:
        Invalid: a role does not exist.
        NotFound: there is no such tenant.
    """
    async with database.transaction(Context(tenant, ACTOR, now)) as tx:
        await _require_tenant(tx)
        return await clients.create(tx, _EVERYTHING, name, names)


async def set_tenant_status(database: Database, now: datetime, tenant: UUID, *, suspended: bool) -> None:
    """Suspend a tenant, or let it work again.

    Raises:
        NotFound: there is no such tenant.
        Conflict: it is in that state already.
    """
    async with database.transaction(Context(tenant, ACTOR, now)) as tx:
        await tenants.set_status(tx, "suspended" if suspended else "active")


async def reset_factors(database: Database, now: datetime, vault: Vault, public_url: str, email: str) -> UUID:
    """Remove the second factors of whoever has an address, in whatever tenants; returns their id.

    Raises:
        Invalid: it is no address.
        NotFound: nobody has it.
        Conflict: they have no factor.
    """
    address = domain.normalise_email(email)
    async with database.transaction(Context(SYSTEM_TENANT, ACTOR, now)) as tx:
        outbox = Outbox(vault, Throttle(await pepper_of(tx, vault)), public_url)
        return await lost_factors.by_operator(tx, outbox, address)


async def list_tenants(keeper: Database) -> Sequence[dict[str, object]]:
    """Return all tenants, oldest first, as the keeper's role sees them."""
    async with keeper.connection() as connection:
        return [dict(row) for row in await connection.fetch(_TENANTS, SYSTEM_TENANT)]


async def retry_mail(database: Database, now: datetime, tenant: UUID, id: UUID) -> None:  # noqa: A002
    """Have a mail tried afresh that was given up.

    Raises:
        NotFound: there is no such mail, or it is not dead.
    """
    async with database.transaction(Context(tenant, ACTOR, now)) as tx:
        if not await mails.revive(tx, id):
            raise NotFound("There is no such dead mail.")


async def create_setup_link(database: Database, now: datetime, public_url: str) -> str:
    """Make the link with which somebody sets the first tenant up; earlier unused ones end.

    The token stands in the fragment, which browsers send to nobody.
    """
    token = opaque.new_secret("su_")
    async with database.transaction(Context(SYSTEM_TENANT, ACTOR, now)) as tx:
        await accounts.add_setup_link(tx, opaque.digest(token), now + SETUP_LIFE)
    return f"{public_url}/setup#{token}"


async def first_setup_link(database: Database, keeper: Database, now: datetime, public_url: str) -> str | None:
    """Make a set-up link where there is no tenant yet; returns None where there is one."""
    return None if await list_tenants(keeper) else await create_setup_link(database, now, public_url)


async def _require_tenant(tx: Transaction) -> None:
    if tx.tenant_id == SYSTEM_TENANT:
        await accounts.ensure_tenant(tx, "system")
    await accounts.find_tenant(tx)
