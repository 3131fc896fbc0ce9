"""Grants: the reason why somebody holds tokens. Revoking one voids them all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID, uuid4

from libs.common.database.transaction import Row, Transaction
from libs.common.errors import Conflict, Forbidden, NotFound, Unauthenticated
from libs.common.events.auth import GrantRevoked, LoginFailed, SessionOpened
from services.auth import domain, protocol
from services.auth.commands import assurance, persons, standing
from services.auth.opaque import RefreshToken
from services.auth.protocol import REFRESHING, OAuthError
from services.auth.resources import Target
from services.auth.store import grants, upstream

Reason = Literal["logout", "reuse", "disabled", "secret-rotated", "deleted", "suspended", "revoked"]


@dataclass(frozen=True, slots=True)
class Entry:
    """Somebody who may have an access token now."""

    subject: str
    grant_id: UUID
    permissions: frozenset[str]
    refresh: RefreshToken | None = None
    client_id: UUID | None = None
    jkt: str | None = None
    amr: Sequence[str] = ()
    """How the person has shown who they are; `authentication.claims` says it in an ID token."""
    auth_time: datetime | None = None
    resource: tuple[str, ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict)
    """What an ID token says of the person, as far as the scope goes."""
    owner: UUID | None = None
    """Who answers for a client that acts on its own behalf."""

    nonce: bool = False
    """Whether the client's proofs have to carry a nonce (RFC 9449, 9)."""

    def since(self) -> dict[str, Any]:
        """Return when the person showed who they are, as an ID token says it, where that is known."""
        return {"auth_time": int(self.auth_time.timestamp())} if self.auth_time else {}


@dataclass(frozen=True, slots=True)
class Renewal:
    """How a refresh token is presented: for which resources, by which client with which key."""

    target: Target
    client: Row | None = None
    jkt: str | None = None

    def fits(self, grant: Row) -> bool:
        """Say whether a grant is this client's, and its key the one shown.

        A public client shows the key that the grant is bound to; a confidential one has proven who it is, and shows
        whatever key its next token is to be bound to (RFC 9449, 5).
        """
        if self.client is None:
            return grant["client_id"] is None
        key = grant["jkt"] in (None, self.jkt) or (self.client["kind"] != "public" and self.jkt is not None)
        return bool(grant["client_id"] == self.client["id"]) and key


@dataclass(slots=True)
class Renewable:
    """A refresh token that is good, as the core asks about it; `permissions` are what the next access token may say."""

    presented: RefreshToken
    asked: Renewal
    grant: Row
    expires_at: datetime
    permissions: frozenset[str]

    def check_client(self, _: Any) -> bool:
        """Say whether it is presented by its own client, with its own key."""
        return self.asked.fits(self.grant)

    def get_scope(self) -> str:
        """Return what it is good for."""
        return " ".join(sorted(self.permissions))


async def open_login(
    tx: Transaction,
    user_id: UUID,
    method: Literal["password", "setup"],
    lifetime: timedelta,
    amr: Sequence[str],
    upstream_id: UUID | None = None,
) -> Entry:
    """Open a grant for a member who has just proven who they are.

    Raises:
        Unauthenticated: they were shut out a moment ago.
        Forbidden: the link to an identity provider that they came by has ended.
    """
    held = await standing.of_user(tx, user_id, keep=True)
    if held is None:
        raise Unauthenticated("The e-mail address or the password is wrong.", type="login-failed")
    subject, grant_id = f"user:{user_id}", uuid4()
    expires = tx.context.now + lifetime
    await open_own(tx, grant_id, subject, expires, amr, upstream_id, method=method)
    refresh = RefreshToken.make(tx.tenant_id, grant_id)
    await grants.add_refresh_token(tx, grant_id, refresh.digest, expires)
    return Entry(subject, grant_id, held, refresh, amr=amr)


async def open_own(
    tx: Transaction,
    grant_id: UUID,
    subject: str,
    expires: datetime,
    amr: Sequence[str],
    upstream_id: UUID | None,
    *,
    method: Literal["password", "setup"] = "password",
) -> None:
    """Open the grant of a person's own login; one by an identity provider rests on its link.

    Raises:
        Forbidden: the link has ended.
    """
    if not await _holds(tx, upstream_id):
        raise Forbidden("The link to the identity provider has ended.", type="upstream-login")
    how: Literal["password", "setup", "upstream"] = method if upstream_id is None else "upstream"
    await grants.add_grant(tx, grant_id, subject, how, expires, amr=list(amr), upstream_id=upstream_id)
    opened = SessionOpened(grant_id=grant_id, subject=subject, method=how, address=tx.context.address)
    await tx.emit("session.opened", opened, entity=grant_id)


async def _holds(tx: Transaction, upstream_id: UUID | None) -> bool:
    """Say whether the link that a login came by still stands, if it came by one, and keep it until the end."""
    return upstream_id is None or await upstream.hold(tx, upstream_id)


async def open_given(
    tx: Transaction,
    client: Row,
    given: Row,
    *,
    method: Literal["authorization_code", "device_code"],
    lifetime: timedelta,
    jkt: str | None,
    target: Target,
) -> Entry | None:
    """Open a grant that a user gave to a client by a code, `given`.

    None where the user or the tenant are shut out, or the login was too weak.

    Raises:
        OAuthError: the token is asked for a resource that the user did not allow; nothing has happened then.
    """
    resource, scope, user_id = target.within(given["resource"]), given["scope"], given["user_id"]
    subject, grant_id, expires = f"user:{user_id}", uuid4(), tx.context.now + lifetime
    allowed = await standing.of_user(tx, user_id, keep=True)
    if allowed is None or await assurance.lacking(tx, given["amr"]) or not await _holds(tx, given["upstream_id"]):
        return None
    held = protocol.permitted(allowed, scope)
    kept = {name: given[name] for name in ("scope", "resource", "auth_time", "amr", "upstream_id")}
    await grants.add_grant(tx, grant_id, subject, method, expires, client_id=client["id"], jkt=jkt, **kept)
    token = None
    if "offline_access" in scope and REFRESHING in client["grant_types"]:
        token = RefreshToken.make(tx.tenant_id, grant_id)
        await grants.add_refresh_token(tx, grant_id, token.digest, expires)
    opened = SessionOpened(grant_id=grant_id, subject=subject, method=method, address=tx.context.address)
    await tx.emit("session.opened", opened, entity=grant_id)
    amr, auth_time = given["amr"], given["auth_time"]
    about = await persons.claims(tx, user_id, held)
    known, nonce = (token, client["id"], jkt, amr, auth_time), client["dpop_nonce"]
    return Entry(subject, grant_id, held, *known, resource, about, nonce=nonce)


async def renewable(tx: Transaction, presented: RefreshToken, asked: Renewal) -> Renewable | None:
    """Return a refresh token that is good, its grant locked, or None where it is refused.

    A token that was used before is stolen or was: its grant is revoked with all that came of it. A token in the hands
    of another client than its own is refused and stays usable. The transaction must be committed either way.

    Raises:
        OAuthError: it is refused, and there is more to say.
    """
    grant = await grants.lock_grant(tx, presented.grant_id)
    token = await grants.find_refresh_token(tx, presented.grant_id, presented.digest)
    if grant is None or token is None or not asked.fits(grant):
        return await _refused(tx, grant, "unknown")
    if token["used_at"] is not None and grant["revoked_at"] is None:
        await revoke(tx, grant, "reuse")
    dead = _dead(tx, grant, token)
    if dead is not None:
        return await _refused(tx, grant, dead)
    allowed = await standing.of_user(tx, UUID(grant["subject"].removeprefix("user:")))
    if allowed is None:
        return await _refused(tx, grant, "disabled")
    if await assurance.lacking(tx, grant["amr"]):
        await _refused(tx, grant, "too-weak")
        raise OAuthError("invalid_grant", assurance.TOO_WEAK)
    return Renewable(presented, asked, grant, token["expires_at"], protocol.permitted(allowed, grant["scope"]))


def _dead(tx: Transaction, grant: Row, token: Row) -> Literal["reused", "disabled", "expired"] | None:
    """Return why a refresh token means nothing any more, or None where it does."""
    if token["used_at"] is not None:
        return "reused"
    if grant["revoked_at"] is not None:
        return "disabled"
    return "expired" if token["expires_at"] <= tx.context.now else None


async def renew(tx: Transaction, token: Renewable) -> Entry:
    """Return what a refresh token gives, with the token that follows it.

    Raises:
        OAuthError: the resources ask for more than there is; nothing has happened then.
    """
    grant, asked, resource = token.grant, token.asked, token.asked.target.within(token.grant["resource"])
    following = RefreshToken.make(tx.tenant_id, grant["id"])
    await grants.add_refresh_token(tx, grant["id"], following.digest, token.expires_at)
    await grants.touch_grant(tx, grant["id"])
    opened = SessionOpened(
        grant_id=grant["id"], subject=grant["subject"], method="refresh_token", address=tx.context.address
    )
    await tx.emit("session.opened", opened, entity=grant["id"])
    return Entry(
        subject=grant["subject"],
        grant_id=grant["id"],
        permissions=token.permissions,
        refresh=following,
        client_id=grant["client_id"],
        jkt=asked.jkt,
        amr=grant["amr"],
        auth_time=grant["auth_time"],
        resource=resource,
        nonce=bool(asked.client and asked.client["dpop_nonce"]),
        about=await persons.claims(tx, UUID(grant["subject"].removeprefix("user:")), token.permissions),
    )


async def use_up(tx: Transaction, token: Renewable) -> None:
    """Mark a refresh token used."""
    await grants.use_refresh_token(tx, token.grant["id"], token.presented.digest)


async def _refused(
    tx: Transaction, grant: Row | None, reason: Literal["unknown", "reused", "expired", "disabled", "too-weak"]
) -> Renewable | None:
    """Announce a refused refresh in the tenant of its grant; an invented tenant has no trail."""
    if grant is not None:
        address = tx.context.address
        failed = LoginFailed(method="refresh_token", reason=reason, subject=grant["subject"], address=address)
        await tx.emit("session.failed", failed, entity=grant["id"])
    return None


async def revoke(tx: Transaction, grant: Row, reason: Reason) -> None:
    """Void all tokens of a locked grant, at once and everywhere."""
    until = domain.revocation_end(tx.context.now)
    await grants.end_grant(tx, grant["id"], until)
    void = GrantRevoked(grant_id=grant["id"], subject=grant["subject"], reason=reason, until=until)
    await tx.emit("grant.revoked", void, entity=grant["id"])


async def revoke_all(tx: Transaction, subject: str, reason: Reason) -> None:
    """Void all tokens of a user."""
    for grant in await grants.live_grants(tx, subject):
        await revoke(tx, grant, reason)


async def revoke_one(tx: Transaction, id: UUID, reason: Reason) -> None:  # noqa: A002
    """Void all tokens of a grant of the tenant; a client goes on under another grant.

    Raises:
        NotFound: there is no such grant.
        Conflict: it is revoked already.
    """
    client = await _client_of(tx, await grants.find_grant(tx, id))
    grant = await grants.lock_grant(tx, id)
    if grant is None:
        raise NotFound("There is no such grant.")
    if grant["revoked_at"] is not None:
        raise Conflict("The grant is revoked already.", type="grant-revoked")
    await revoke(tx, grant, reason)
    if client is not None:
        following = uuid4()
        await grants.add_grant(tx, following, grant["subject"], "client_credentials", None)
        await grants.change_client(tx, client["id"], grant_id=following)


async def _client_of(tx: Transaction, grant: Row | None) -> Row | None:
    """Return the client whose own grant this is, locked before it, as whoever changes a client does."""
    kind, _, owner = grant["subject"].partition(":") if grant else ("", "", "")
    return await grants.client_or_none(tx, UUID(owner), lock=True) if kind == "client" else None
