"""A person's address: changed once the new one is confirmed, and the old one told."""

from uuid import UUID

import asyncpg

from libs.common.errors import Forbidden
from services.auth.flows import passwords
from services.auth.flows.limits import count_network, has_room
from services.auth.flows.office import VALID, Office
from services.auth.mail.outbox import Letter, shown_moment
from services.auth.store import accounts, links


async def request(office: Office, user: UUID, email: str, password: str) -> None:
    """Send a link to the new, normalised address; whether somebody has it already does not show.

    Raises:
        Forbidden: the password is wrong.
        TooManyRequests: too many failed tries, or too many requests from this network.
    """
    await passwords.prove(office, user, password)
    async with office.system(f"user:{user}") as tx:
        await count_network(tx, office.outbox.throttle)
        if not await has_room(tx, office.outbox.throttle, "email", email):
            return
        taken = await accounts.find_identity(tx, email) is not None
        shown = await office.issue(tx, "email", email, None if taken else user, {"email": email})
        await office.outbox.queue(tx, Letter("email-change", email, shown), valid=VALID["email"], void=taken)


async def confirm(office: Office, token: str) -> None:
    """Use a link up: give its person the new address and tell the old one.

    Raises:
        Forbidden: the link is unknown, used or expired, or somebody has the address by now.
    """
    held = await office.peek("email", token)
    try:
        async with office.system() as tx:
            user = (await office.redeem(tx, "email", token)).identity_id
            person = await links.find_person(tx, user) if user else None
            if user is None or person is None:
                raise Forbidden("The link is unknown, used or expired.", type="account-link")
            await links.set_email(tx, user, held.content["email"])
            await links.end_all(tx, user)
            await office.tell_tenants(tx, user, "email", end=False)
            values = {"when": shown_moment(tx.context.now)}
            await office.outbox.queue(tx, Letter("email-changed", person["email"], values))
    except asyncpg.UniqueViolationError:
        raise Forbidden("The link is unknown, used or expired.", type="account-link") from None
