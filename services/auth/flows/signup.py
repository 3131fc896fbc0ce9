"""Sign-up: an address is confirmed before there is an account.

The password is chosen by who opens the mail, so nobody can prepare an account for somebody else's address.
"""

from dataclasses import replace
from uuid import UUID, uuid4

from libs.common.errors import Conflict
from services.auth.commands import tenants
from services.auth.flows.limits import count_network, has_room
from services.auth.flows.office import VALID, Office
from services.auth.mail.outbox import Letter
from services.auth.password_policy import require_good_password
from services.auth.store import accounts


async def request(office: Office, email: str, name: str, tenant_name: str) -> None:
    """Send a link to a normalised address: to sign up, or, where it has an account, to choose another password.

    Raises:
        TooManyRequests: too many requests from this network.
    """
    content = {"email": email, "name": name, "tenant_name": tenant_name}
    async with office.system() as tx:
        await count_network(tx, office.outbox.throttle)
        if not await has_room(tx, office.outbox.throttle, "signup", email):
            return
        person = await accounts.find_identity(tx, email)
        if person is None:
            shown = await office.issue(tx, "signup", email, None, content)
            await office.outbox.queue(tx, Letter("signup", email, shown), valid=VALID["signup"])
        else:
            shown = await office.issue(tx, "reset", email, person["id"], content)
            await office.outbox.queue(tx, Letter("signup-known", email, shown), valid=VALID["reset"])


async def verify(office: Office, token: str, password: str) -> tuple[UUID, UUID]:
    """Use a link up: make the account, and a tenant that it owns; returns the tenant's and the user's id.

    Raises:
        Forbidden: the link is unknown, used or expired.
        Invalid: the password cannot be used; the link stays usable.
        Conflict: the address has got an account meanwhile, by an invitation.
    """
    held = await office.peek("signup", token)
    email = held.content["email"]
    text = require_good_password(password, email=email)
    hashed = await office.authority.passwords.hash(text)
    person = tenants.Person(email, held.content["name"], hashed, proven=True)
    tenant = uuid4()
    async with office.system() as tx:
        await office.redeem(tx, "signup", token)
        if await accounts.find_identity(tx, email) is not None:
            raise Conflict("This address has an account already; log in.", type="user-exists")
        await tx.become(replace(office.context, tenant_id=tenant))
        owner = await tenants.create(tx, held.content["tenant_name"], person)
    return tenant, owner
