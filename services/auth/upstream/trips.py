"""Browsers go to an identity provider and come back: bound to the browser, once, within ten minutes.

What goes out is derived from the state under a secret of ours, so nothing of it is stored: state and cookie are kept as
hashes, the code's verifier and the ID token's nonce not at all.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NoReturn
from uuid import UUID

import structlog
from authlib.oauth2.rfc7636 import create_s256_code_challenge

from libs.common.database.transaction import Row
from libs.common.errors import Forbidden, NotFound, Unavailable
from libs.common.events.auth import LoginFailed
from services.auth import opaque
from services.auth.asking import Parameters
from services.auth.commands import providers as commands
from services.auth.doorway import Doorway
from services.auth.flows.limits import count_network
from services.auth.opaque import Handle
from services.auth.protocol import half_url, with_parameters
from services.auth.store import providers
from services.auth.store import upstream as stored
from services.auth.upstream import exchange
from services.auth.upstream.directory import Directory
from services.auth.upstream.exchange import Arrived, Redemption, Registered, RejectedError
from services.auth.upstream.metadata import Metadata, UnsuitableError
from services.auth.upstream.web import UnreachableError

PREFIX = "us_"
LIFE = timedelta(minutes=10)
_PER_NETWORK = 300
_LOG = structlog.get_logger(__name__)
_MAX_CODE = 4000
_AGAIN = "This login was begun in another browser, has been used, or took too long. Go back and start again."
_PROVES_NOTHING = "What your identity provider answered does not prove who you are. Start again; if it stays, tell your administrator."


class UpstreamRefused(Forbidden):
    """Nobody is logged in by what came from the provider."""

    type = "upstream-login"


@dataclass(frozen=True, slots=True)
class Way:
    """Where the browser goes, and the cookie that it has to bring back."""

    location: str
    cookie: str


@dataclass(frozen=True, slots=True)
class Back:
    """A browser that came back: in which tenant, from which provider, what for, and as whom."""

    tenant: UUID
    provider: Row
    trip: Row
    arrived: Arrived


@dataclass(frozen=True, slots=True)
class Trips:
    """Sends browsers to identity providers and takes them back; `issuer` is our own URL."""

    way: Doorway
    directory: Directory
    issuer: str

    def redirect_uri(self, provider: UUID) -> str:
        """Return where a provider sends browsers back to: a URI for each, so that none can answer for another."""
        return f"{self.issuer}/oauth2/upstream/{provider}/callback"

    async def begin(
        self, tenant: UUID, provider: UUID, cookie: str | None, more: Mapping[str, str] | None = None, **purpose: Any
    ) -> Way:
        """Send a browser to a provider of a tenant; `more` are parameters of the request to it.

        Raises:
            NotFound: there is no such provider, or it lets nobody in.
            Unavailable: the provider cannot be used now.
            TooManyRequests: too many were sent from this network.
        """
        async with self.way.acting(tenant, "anonymous") as tx:
            row = await providers.find_enabled(tx, provider)
        if row is None:
            raise NotFound("There is no such identity provider.")
        described = await self._described(tenant, row)
        state, browser = Handle.make(PREFIX, tenant), cookie or secrets.token_urlsafe(32)
        async with self.way.system() as tx:
            await count_network(tx, self.way.authority.throttle, "upstream-network", _PER_NETWORK)
        async with self.way.acting(tenant, "anonymous") as tx:
            expires, kept = tx.context.now + LIFE, opaque.digest(browser)
            await stored.set_out(tx, state.digest, expires, provider_id=provider, browser=kept, **purpose)
        return Way(self._request(described, row, state, more or {}), browser)

    def _request(self, described: Metadata, row: Row, state: Handle, more: Mapping[str, str]) -> str:
        asked = {
            "response_type": "code",
            "client_id": row["client_id"],
            "redirect_uri": self.redirect_uri(row["id"]),
            "scope": " ".join(row["scopes"]),
            "state": state.text,
            "nonce": self._derived("nonce", state),
            "code_challenge": create_s256_code_challenge(self._derived("verifier", state)),
            "code_challenge_method": "S256",
            **({"acr_values": " ".join(row["acr_values"])} if row["acr_values"] else {}),
            **more,
        }
        return with_parameters(described.authorization_endpoint, asked)

    def _derived(self, what: str, state: Handle) -> str:
        return half_url(self.way.authority.throttle.mark(f"upstream-{what}", state.text))

    async def finish(self, provider: UUID, query: str, cookie: str | None) -> Back:
        """Take a browser back from a provider, with the query and the cookie that it brings.

        Raises:
            UpstreamRefused: it is not a trip of this browser and this provider, or what it brings proves nobody.
            Unavailable: the provider cannot be used now. OAuthError: the query cannot be read.
        """
        sent = Parameters.read(query)
        state = Handle.read(PREFIX, sent.values.get("state", ""))
        trip = row = None
        if state is not None and cookie and not sent.repeated:
            async with self.way.acting(state.tenant_id, "anonymous") as tx:
                trip = await stored.come_back(tx, state.digest, provider, opaque.digest(cookie))
                row = await providers.find_enabled(tx, provider) if trip else None
                secret = await commands.open_secret(tx, self.way.authority.vault, row) if row else ""
        if state is None or trip is None or row is None:
            return await self.refuse(None, "state", _AGAIN)
        described = await self._described(state.tenant_id, row)
        code = await self._code(state.tenant_id, described, sent.values)
        brought = Redemption(code, self._derived("verifier", state), self._derived("nonce", state))
        us = Registered(row["client_id"], secret, self.redirect_uri(row["id"]))
        try:
            arrived = await exchange.redeem(self.directory, described, us, brought, row, self.way.context.now)
        except RejectedError as error:
            return await self.refuse(state.tenant_id, str(error), _PROVES_NOTHING)
        except UnreachableError as error:
            raise _unavailable(row, error) from None
        return Back(state.tenant_id, row, trip, arrived)

    async def _code(self, tenant: UUID, described: Metadata, sent: Mapping[str, str]) -> str:
        """Return the code of an answer that is this provider's own (RFC 9207)."""
        if (described.names_itself or "iss" in sent) and sent.get("iss") != described.issuer:
            return await self.refuse(tenant, "iss", _PROVES_NOTHING)
        if "error" in sent:
            return await self.refuse(
                tenant, "error", "Your identity provider did not let you in. Try again, or ask there."
            )
        code = sent.get("code", "")
        if not 0 < len(code) <= _MAX_CODE:
            return await self.refuse(tenant, "code", _PROVES_NOTHING)
        return code

    async def refuse(self, tenant: UUID | None, reason: str, words: str) -> NoReturn:
        """Count, announce and log a refusal; neither says more than which check failed.

        Raises:
            UpstreamRefused: always. TooManyRequests: too many were refused before.
        """
        _LOG.info("upstream.refused", reason=reason, tenant=str(tenant) if tenant else None)
        if tenant is not None:
            async with self.way.acting(tenant, "anonymous") as tx:
                failed = LoginFailed(method="upstream", reason="rejected", address=tx.context.address)
                await tx.emit("session.failed", failed, entity=f"login:{tx.tenant_id}")
        await self.way.count_failure("upstream")
        raise UpstreamRefused(words)

    async def _described(self, tenant: UUID, row: Row) -> Metadata:
        try:
            return await self.directory.described(row["issuer"], self.way.context.now)
        except (UnreachableError, UnsuitableError) as error:
            _LOG.warning("upstream.unusable", tenant=str(tenant), provider=str(row["id"]), why=str(error))
            raise _unavailable(row, error) from None


def _unavailable(row: Row, error: Exception) -> Unavailable:
    return Unavailable(f"{row['name']} cannot be used now: {error}. Try again later.", retry_after=30)
