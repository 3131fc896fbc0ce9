"""Passwords: forgotten and chosen anew by mail, or changed by who is logged in."""

from uuid import UUID

from libs.common.database.transaction import Transaction
from libs.common.errors import Forbidden, Unavailable
from libs.common.events.auth import LoginFailed
from services.auth.flows.limits import count_network, has_room
from services.auth.flows.office import VALID, Office
from services.auth.mail.outbox import Letter, shown_moment
from services.auth.password_policy import normalise_password, require_good_password
from services.auth.store import accounts, attempts, links


async def forget(office: Office, email: str) -> None:
    """Send a link to a normalised address, if it has an account; what is done is the same if not.

    Raises:
        TooManyRequests: too many requests from this network.
    """
    async with office.system() as tx:
        await count_network(tx, office.outbox.throttle)
        if not await has_room(tx, office.outbox.throttle, "reset", email):
            return
        person = await accounts.find_identity(tx, email)
        shown = await office.issue(tx, "reset", email, person["id"] if person else None, {"email": email})
        await office.outbox.queue(tx, Letter("reset", email, shown), valid=VALID["reset"], void=person is None)


async def reset(office: Office, token: str, password: str) -> None:
    """Use a link up: give its person another password, end all their logins everywhere, and tell them.

    Raises:
        Forbidden: the link is unknown, used or expired.
        Invalid: the password cannot be used; the link stays usable.
    """
    held = await office.peek("reset", token)
    text = require_good_password(password, email=held.content["email"])
    hashed = await office.authority.passwords.hash(text)
    async with office.system() as tx:
        user = (await office.redeem(tx, "reset", token)).identity_id
        if user is None:
            raise Forbidden("The link is unknown, used or expired.", type="account-link")
        await _replace(office, tx, user, hashed, keep=None)


async def change(office: Office, user: UUID, grant: UUID, current: str, password: str) -> None:
    """Change the password of who is logged in; their other logins end everywhere.

    Raises:
        Forbidden: the current password is wrong.
        TooManyRequests: too many failed tries.
        Invalid: the new password cannot be used.
    """
    email = await prove(office, user, current)
    text = require_good_password(password, email=email)
    hashed = await office.authority.passwords.hash(text)
    async with office.system(f"user:{user}") as tx:
        await _replace(office, tx, user, hashed, keep=grant)


async def prove(office: Office, user: UUID, password: str) -> str:
    """Check the password of who is logged in, counted like a login; returns their address.

    Raises:
        Forbidden: it is wrong.
        TooManyRequests: too many failed before.
    """
    throttle = office.authority.throttle
    async with office.system() as tx:
        person = await links.find_person(tx, user)
        if person is None:
            raise Forbidden("Only a person has a password.", type="no-person")
        counted = await throttle.reserve(tx, person["email"])
    try:
        right = await office.authority.passwords.verify(person["password_hash"], normalise_password(password))
    except Unavailable:
        async with office.system() as tx:
            await throttle.give_back(tx, counted)
        raise
    async with office.system() as tx:
        if right:
            await throttle.settle(tx, counted)
        else:
            await throttle.fail(tx, counted)
            address = office.context.address
            failed = LoginFailed(method="password", reason="wrong-secret", subject=f"user:{user}", address=address)
            await tx.emit("session.failed", failed, entity=f"login:{tx.tenant_id}")
    if not right:
        raise Forbidden("The password is wrong.", type="wrong-password")
    email: str = person["email"]
    return email


async def _replace(office: Office, tx: Transaction, user: UUID, hashed: str, *, keep: UUID | None) -> None:
    person = await links.find_person(tx, user)
    if person is None:
        raise Forbidden("The link is unknown, used or expired.", type="account-link")
    await accounts.set_password_hash(tx, user, hashed)
    await links.end_all(tx, user)
    await links.end_pending_logins(tx, user)
    await attempts.forget(tx, office.authority.throttle.mark("account", person["email"]))
    await office.tell_tenants(tx, user, "password", end=True, keep=keep)
    values = {"when": shown_moment(tx.context.now), "link": office.outbox.page("/account/forgot")}
    await office.outbox.queue(tx, Letter("password-changed", person["email"], values))
