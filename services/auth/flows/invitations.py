"""Invitations: somebody is asked into a tenant by mail, and comes with their account or makes one."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID, uuid4

from libs.common.database.transaction import Row, Transaction
from libs.common.errors import Conflict, FieldProblem, Forbidden, Invalid, TooManyRequests
from libs.common.events.auth import InvitationChanged
from libs.common.identity.principal import Principal
from services.auth import domain, opaque
from services.auth.commands import roles, standing, tenants
from services.auth.flows.limits import count_tenant, has_room
from services.auth.flows.office import Office
from services.auth.flows.taking_over import is_owners, take_over
from services.auth.mail.outbox import Letter, Outbox
from services.auth.password_policy import require_good_password
from services.auth.permissions import covers_all
from services.auth.store import accounts, invitations

_VALID, _SHOWN = timedelta(days=7), "7 days"


class InvitationToken(opaque.NamingToken):
    """What the mail of an invitation brings; its row is the invitation."""

    __slots__ = ()
    prefix = "iv_"


async def invite(
    tx: Transaction, outbox: Outbox, caller: Principal, email: str, names: Sequence[str], name: str | None = None
) -> UUID:
    """Invite a normalised address into the transaction's tenant; an earlier invitation of it ends.

    `name` is what they are called unless they say otherwise.

    Raises:
        Invalid: a role does not exist.
        Forbidden: a role is not the caller's to give.
        Conflict: the tenant has a user of that address.
        TooManyRequests: the address was sent enough invitations, or the tenant has sent enough.
    """
    domain.require_assignable(caller.permissions, await roles.require_roles(tx, names))
    if await invitations.is_member(tx, email):
        raise Conflict("A user with this address exists already.", type="user-exists")
    await count_tenant(tx, outbox.throttle)
    if not await has_room(tx, outbox.throttle, "invitation", email):
        raise TooManyRequests("This address was sent enough invitations; wait.", retry_after=3600)
    id = uuid4()  # noqa: A001
    token = InvitationToken.make(tx.tenant_id, id)
    await invitations.add(tx, id, email, names, token.digest, tx.context.now + _VALID, name)
    await _say(tx, "invitation.created", id, names)
    values = {
        "tenant": (await accounts.find_tenant(tx))["name"],
        "inviter": await _inviter(tx, caller),
        "link": outbox.link("/account/join", token.text),
        "valid": _SHOWN,
    }
    await outbox.queue(tx, Letter("invitation", email, values), valid=_VALID)
    return id


async def revoke(tx: Transaction, id: UUID) -> None:  # noqa: A002
    """Take an invitation back.

    Raises:
        NotFound: there is no such invitation.
        Conflict: it is settled already.
    """
    row = await invitations.find(tx, id, lock=True)
    if row["state"] != "open":
        raise Conflict(f"The invitation is {row['state']}.", type="invitation-state")
    await invitations.settle(tx, id, "revoked")
    await _say(tx, "invitation.revoked", id, row["roles"])


async def accept(office: Office, text: str, name: str | None, password: str | None) -> tuple[UUID, UUID]:
    """Use an invitation up; returns the tenant's and the user's id. Who has an account keeps its password.

    An account whose address nobody has proven yet is taken over instead, by another password: see `taking_over`.

    Raises:
        Forbidden: the invitation is unknown, used, revoked or expired, or the tenant is suspended.
        Invalid: there is no account yet, and no password that can be used, or no name; the invitation stays open.
    """
    token, row = await presented(office, text)
    async with office.acting(token.tenant_id) as tx:
        person = await accounts.find_identity(tx, row["email"])
    known = person is not None and is_owners(person)
    hashed = "" if known else await _hashed(office, row["email"], password)
    async with office.acting(token.tenant_id) as tx:
        if await _open(tx, token) is None:
            raise _refused()
        user = await join(tx, row, name, hashed)
    return token.tenant_id, user


async def presented(office: Office, text: str) -> tuple[InvitationToken, Row]:
    """Return the open invitation of a token, without using it.

    Raises:
        Forbidden: it is unknown, used, revoked or expired, or the tenant is suspended.
        TooManyRequests: too many invented tokens from this address.
    """
    token = InvitationToken.read(text)
    row = None
    if token is not None:
        async with office.acting(token.tenant_id) as tx:
            row = await _open(tx, token)
    if token is None or row is None:
        async with office.system() as tx:
            await office.authority.throttle.note_failure(tx)
        raise _refused()
    return token, row


async def join(tx: Transaction, row: Row, name: str | None, password_hash: str | None) -> UUID:
    """Use a locked open invitation up; returns the user's id. Who has an account keeps their password, or its absence.

    Raises:
        Forbidden: the inviter could no longer give these roles. Conflict: the tenant has a user of that address.
        Invalid: nobody has said what they are called.
    """
    await _require_standing(tx, row)
    called = name or row["name"]
    if called is None:
        raise Invalid("Say what you are called.", fields=[FieldProblem("/name", "is missing")])
    known = await accounts.find_identity(tx, row["email"])
    user = await tenants.add_user(tx, tenants.Person(row["email"], called, password_hash, proven=True), row["roles"])
    if known is not None and not is_owners(known):
        await take_over(tx, user, password_hash)
    await invitations.settle(tx, row["id"], "accepted")
    await _say(tx, "invitation.accepted", row["id"], row["roles"], user)
    return user


async def _open(tx: Transaction, token: InvitationToken) -> Row | None:
    row = await invitations.find_open(tx, token.id, token.digest)
    if row is None or (await accounts.find_tenant(tx))["status"] != "active":
        return None
    return row


async def _require_standing(tx: Transaction, row: Row) -> None:
    """Refuse what the inviter could no longer give away: they are gone, or may do less by now."""
    given = await roles.require_roles(tx, row["roles"])
    if not covers_all(await standing.of_actor(tx, row["invited_by"]) or frozenset(), given):
        raise _refused()


async def _hashed(office: Office, email: str, password: str | None) -> str:
    if password is None:
        raise Invalid("There is no account of this address yet.", fields=[FieldProblem("/password", "choose one")])
    return await office.authority.passwords.hash(require_good_password(password, email=email))


async def _inviter(tx: Transaction, caller: Principal) -> str:
    kind, _, id_ = caller.subject.partition(":")
    if kind != "user":
        return "An administrator"
    name: str = (await accounts.find_member(tx, UUID(id_)))["name"]
    return name


async def _say(tx: Transaction, event: str, id: UUID, names: Sequence[str], user: UUID | None = None) -> None:  # noqa: A002
    await tx.emit(event, InvitationChanged(invitation_id=id, roles=list(names), user_id=user), entity=id)


def _refused() -> Forbidden:
    return Forbidden("The invitation is unknown, used or expired.", type="invitation")
