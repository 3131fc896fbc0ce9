"""Where clients come: each proves who it is by its one method, then gets what its grants allow."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar
from uuid import UUID, uuid4

from libs.common.database.transaction import Row, Transaction
from libs.common.errors import Refusal
from libs.common.events.auth import LoginFailed
from libs.common.identity.dpop import Proof
from services.auth import assertions, nonces, opaque
from services.auth.client_keys import ClientKeys
from services.auth.commands import clients, codes, device, grants, standing
from services.auth.commands.grants import Entry, Renewal
from services.auth.doorway import Doorway, Method, Tokens
from services.auth.opaque import RefreshToken
from services.auth.protocol import DEVICE, REDIRECTING, REFRESHING, OAuthError
from services.auth.resources import Target
from services.auth.store import accounts, flows
from services.auth.store import grants as stored


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a client presents: its id alone (public), a secret, or an assertion."""

    client_id: str
    secret: str | None = None
    assertion: str | None = None


_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Desk:
    """Serves clients; each request is one look-up by the client's id and one transaction of its tenant."""

    way: Doorway
    issuer: str
    keys: ClientKeys
    proof: Proof | None = None

    async def serve(
        self, presented: Credentials, work: Callable[[Transaction, Row], Awaitable[_Result]]
    ) -> tuple[UUID, _Result]:
        """Authenticate a client and do `work` in its tenant; returns the tenant and what came of it.

        What `work` refuses by an error is committed: an assertion counts as used, so `work` raises before it writes.

        Raises:
            OAuthError: the client is unknown or proves nothing, in one answer; or what `work` raises.
            TooManyRequests: too many failures from this address.
        """
        async with self.way.system() as tx:
            client = await stored.find_presented_client(tx, as_uuid(presented.client_id))
        refused: OAuthError | Refusal | None = None
        jwks = await self._keys_of(client, presented)
        async with self._of(client) as tx:
            if client is None or not await self._authentic(tx, client, presented, jwks):
                await self._failed(tx, client)
                client = None
            else:
                try:
                    result = await work(tx, client)
                except (OAuthError, Refusal) as error:
                    refused = error
        if client is None:
            await self.way.count_failure("client_credentials")
            raise OAuthError("invalid_client", "the client is unknown or did not prove who it is", 401)
        if refused is not None:
            raise refused
        return client["tenant_id"], result

    async def client_credentials(self, presented: Credentials, form: dict[str, str]) -> Tokens:
        """Let a client in on its own behalf.

        Raises:
            OAuthError, Refusal: as `serve`; the client has no such grant; the scope is too wide; no such resource.
        """
        target = Target.read(form, self.issuer)

        async def enter(tx: Transaction, client: Row) -> Entry:
            await require_entitled(tx, client, "client_credentials")
            jkt = await self._bound(tx, client)
            entry = await clients.enter(tx, client, form.get("scope"))
            return replace(entry, jkt=jkt, resource=target.named, nonce=client["dpop_nonce"])

        tenant, entry = await self.serve(presented, enter)
        return await self.way.issue(tenant, entry, "client_credentials")

    async def code(self, presented: Credentials, form: dict[str, str]) -> Tokens:
        """Exchange an authorization code.

        Raises:
            OAuthError, Refusal: as `serve`; the code is refused.
        """
        lifetime, target = self.way.authority.lifetimes.login, Target.read(form, self.issuer)

        async def redeem(tx: Transaction, client: Row) -> tuple[Entry, Row] | None:
            await require_entitled(tx, client, REDIRECTING)
            return await codes.redeem(tx, client, form, await self._bound(tx, client), target, lifetime)

        tenant, given = await self.serve(presented, redeem)
        if given is None:
            raise OAuthError("invalid_grant", "the code is unknown, used, expired or another client's")
        return await self._to_user(tenant, *given, "authorization_code")

    async def device(self, presented: Credentials, form: dict[str, str]) -> Tokens:
        """Exchange a device code that a person allowed.

        Raises:
            OAuthError, Refusal: as `serve`; nobody has decided yet; the code is refused.
        """
        lifetime, target = self.way.authority.lifetimes.login, Target.read(form, self.issuer)

        async def poll(tx: Transaction, client: Row) -> tuple[Entry, Row]:
            await require_entitled(tx, client, DEVICE)
            jkt = await self._bound(tx, client)
            got = await device.poll(tx, client, form["device_code"], lifetime, jkt, target)
            if isinstance(got, OAuthError):
                raise got
            return got

        tenant, given = await self.serve(presented, poll)
        return await self._to_user(tenant, *given, "device_code")

    async def _to_user(self, tenant: UUID, entry: Entry, code: Row, method: Method) -> Tokens:
        """Issue what a user gave; the ID token repeats the client's nonce."""
        return await self.way.issue(tenant, entry, method, code.get("nonce"))

    async def refresh(self, presented: Credentials, form: dict[str, str]) -> Tokens:
        """Exchange a client's refresh token.

        Raises:
            OAuthError, Refusal: as `serve`; the token is refused; the scope is too wide.
        """
        token, target = RefreshToken.read(form["refresh_token"]), Target.read(form, self.issuer)

        async def exchange(tx: Transaction, client: Row) -> Entry | None:
            await require_entitled(tx, client, REFRESHING)
            if token is None or token.tenant_id != tx.tenant_id:
                return None
            asked = Renewal(target, form.get("scope"), client, await self._bound(tx, client))
            got = await grants.refresh(tx, token, asked)
            if isinstance(got, OAuthError):
                raise got
            return got

        tenant, entry = await self.serve(presented, exchange)
        if entry is None:
            raise OAuthError("invalid_grant", "the refresh token is unknown, used, expired or revoked")
        return await self.way.issue(tenant, entry, "refresh_token")

    async def _bound(self, tx: Transaction, client: Row) -> str | None:
        """Return the key that the request proves; each proof counts once, and a client may have to bring one."""
        if self.proof is None and client["dpop"]:
            raise OAuthError("invalid_dpop_proof", "this client's requests come with a proof (RFC 9449)")
        return await self.proven(tx, client)

    async def proven(self, tx: Transaction, client: Row) -> str | None:
        """Return the key that the request's proof shows, if there is one.

        Raises:
            OAuthError: the proof was used before, or lacks a nonce of ours that it needs or repeats an old one.
        """
        if self.proof is None:
            return None
        nonce, throttle = self.proof.nonce, self.way.authority.throttle
        if client["dpop_nonce"] if nonce is None else not nonces.is_fresh(throttle, nonce, tx.context.now):
            raise OAuthError("use_dpop_nonce", "the proof has to carry the nonce of this answer")
        seen = opaque.digest(f"dpop:{self.proof.jkt}:{self.proof.identifier}")
        if not await flows.first_time(tx, seen, self.proof.until):
            raise OAuthError("invalid_dpop_proof", "the proof was used before")
        return self.proof.jkt

    async def _keys_of(self, client: Row | None, presented: Credentials) -> dict[str, Any] | None:
        """Return the keys that a client signs by, fetched where it publishes them; outside of any transaction."""
        if client is None or client["jwks_uri"] is None or presented.assertion is None:
            return client["jwks"] if client else None
        kid = assertions.claimed_key(presented.assertion)
        return await self.keys.of(client["jwks_uri"], kid, self.way.context.now)

    async def _authentic(
        self, tx: Transaction, client: Row, presented: Credentials, jwks: dict[str, Any] | None
    ) -> bool:
        """Say whether a client proves who it is by the one method that is registered, in a tenant that is active."""
        if (await accounts.find_tenant(tx))["status"] != "active":
            return False
        if client["kind"] == "public":
            return not presented.secret and presented.assertion is None
        if client["jwks"] is None and client["jwks_uri"] is None:
            return presented.secret is not None and await clients.authenticate(tx, client, presented.secret)
        if presented.assertion is None or jwks is None:
            return False
        return await self._asserted(tx, str(client["id"]), presented.assertion, jwks)

    async def _asserted(self, tx: Transaction, id_: str, assertion: str, jwks: dict[str, Any]) -> bool:
        proven = assertions.verified_identifier(assertion, jwks, id_, self.issuer, tx.context.now)
        if proven is None:
            return False
        identifier, until = proven
        return await flows.first_time(tx, opaque.digest(f"assertion:{id_}:{identifier}"), until)

    def _of(self, client: Row | None) -> AbstractAsyncContextManager[Transaction]:
        if client is None:
            return self.way.system()
        return self.way.acting(client["tenant_id"], f"client:{client['id']}")

    async def _failed(self, tx: Transaction, client: Row | None) -> None:
        reason: Literal["unknown", "wrong-secret"] = "wrong-secret" if client else "unknown"
        subject = f"client:{client['id']}" if client else None
        address = self.way.context.address
        failed = LoginFailed(method="client_credentials", reason=reason, subject=subject, address=address)
        await tx.emit("session.failed", failed, entity=f"login:{tx.tenant_id}")


async def require_entitled(tx: Transaction, client: Row, grant_type: str) -> None:
    """Refuse a grant that a client is not registered for, and every grant where nobody answers for the client.

    Raises:
        OAuthError: it is refused.
    """
    if grant_type not in client["grant_types"]:
        raise OAuthError("unauthorized_client", "the client is not registered for this grant")
    await standing.require_answered_for(tx, client)


def as_uuid(text: str) -> UUID:
    """Return the id that a client presents; one that nobody has where it is no id, or written otherwise than given."""
    try:
        presented = UUID(text)
    except ValueError:
        return uuid4()
    return presented if str(presented) == text else uuid4()
