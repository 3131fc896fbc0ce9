"""Passwords: forgotten and chosen anew by mail, or changed by who is logged in."""

from dataclasses import dataclass
from uuid import UUID

from libs.common.database.transaction import Transaction
from libs.common.errors import Conflict, Forbidden, Unavailable
from libs.common.events.auth import LoginFailed
from services.auth.commands.factors import confirmed_ones
from services.auth.flows.limits import count_network, has_room
from services.auth.flows.office import VALID, Office
from services.auth.flows.taking_over import clear_factors, keeps_factors
from services.auth.mail.outbox import Letter, shown_moment
from services.auth.password_policy import normalise_password, require_good_password, stands_alone
from services.auth.store import accounts, attempts, factors, links, people


@dataclass(frozen=True, slots=True)
class Chosen:
    """A password that was taken, and whether it may be the only factor."""

    hashed: str
    alone: bool


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

    Second factors stay, unless nobody had proven the address before: then somebody else may have set them up.

    Raises:
        Forbidden: the link is unknown, used or expired.
        Invalid: the password cannot be used; the link stays usable.
        Conflict: the last second factor went meanwhile, and the password is too short without.
    """
    held = await office.peek("reset", token)
    chosen = await _accepted(office, held.identity_id, held.content["email"], password, by_mail=True)
    async with office.system() as tx:
        user = (await office.redeem(tx, "reset", token)).identity_id
        if user is None:
            raise Forbidden("The link is unknown, used or expired.", type="account-link")
        person = await links.find_person(tx, user)
        if person is not None and not keeps_factors(person):
            await clear_factors(tx, user)
        await _replace(office, tx, user, chosen, keep=None)
        await people.prove_email(tx, user)


async def change(office: Office, user: UUID, grant: UUID, current: str, password: str) -> None:
    """Change the password of who is logged in; their other logins end everywhere.

    Raises:
        Forbidden: the current password is wrong.
        TooManyRequests: too many failed tries.
        Invalid: the new password cannot be used.
        Conflict: as `reset`.
    """
    email = await prove(office, user, current)
    chosen = await _accepted(office, user, email, password)
    async with office.system(f"user:{user}") as tx:
        await _replace(office, tx, user, chosen, keep=grant)


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


async def _accepted(office: Office, user: UUID | None, email: str, password: str, *, by_mail: bool = False) -> Chosen:
    """Return a password that can be used: a shorter one will do beside a second factor (NIST SP 800-63B-4, 3.1.1.2)."""
    async with office.system() as tx:
        person = await links.find_person(tx, user) if user else None
        kept = person is not None and (keeps_factors(person) or not by_mail)
        factor = person is not None and kept and await _has_factor(tx, person["id"])
    text = require_good_password(password, email=email, second_factor=factor)
    return Chosen(await office.authority.passwords.hash(text), stands_alone(text))


async def _has_factor(tx: Transaction, user: UUID) -> bool:
    return bool(confirmed_ones(await factors.of_person(tx, user)))


async def _replace(office: Office, tx: Transaction, user: UUID, chosen: Chosen, *, keep: UUID | None) -> None:
    person = await links.find_person(tx, user)
    if person is None:
        raise Forbidden("The link is unknown, used or expired.", type="account-link")
    if not chosen.alone and not await _has_factor(tx, user):
        raise Conflict("The second factor is gone: choose a longer password.", type="password-too-short")
    await accounts.set_password_hash(tx, user, chosen.hashed, alone=chosen.alone)
    await links.end_all(tx, user)
    await links.end_pending_logins(tx, user)
    await attempts.forget(tx, office.authority.throttle.mark("account", person["email"]))
    await office.tell_tenants(tx, user, "password", end=True, keep=keep)
    values = {"when": shown_moment(tx.context.now), "link": office.outbox.page("/account/forgot")}
    await office.outbox.queue(tx, Letter("password-changed", person["email"], values))
