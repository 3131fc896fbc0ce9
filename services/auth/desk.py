"""Where clients come: whom a request names is looked up, and the core decides in a transaction of its tenant."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal
from uuid import UUID, uuid4

from authlib.oauth2 import OAuth2Error

from libs.common.database.transaction import Row, Transaction
from libs.common.errors import Refusal
from libs.common.events.auth import LoginFailed
from libs.common.identity.dpop import Proof
from libs.common.identity.principal import Principal
from libs.common.identity.verifier import ALGORITHM
from services.auth.client_keys import ClientKeys
from services.auth.core import bridge
from services.auth.core.client import OWN, Client
from services.auth.core.requests import Answer, Asked
from services.auth.core.server import Server
from services.auth.doorway import Doorway
from services.auth.opaque import RefreshToken
from services.auth.protocol import REFRESHING
from services.auth.signing import Signer
from services.auth.store import accounts
from services.auth.store import grants as stored

TOKEN = "token"


@dataclass(frozen=True, slots=True)
class Named:
    """Whom a client's credentials name, before they are proven, and the key that an assertion names."""

    client_id: str
    asserts: bool = False
    kid: str | None = None


@dataclass(frozen=True, slots=True)
class Desk:
    """Serves clients; each request is one look-up by the client's id and one transaction of its tenant."""

    way: Doorway
    issuer: str
    keys: ClientKeys
    verify: Callable[[str], Principal | None]
    proof: Proof | None = None

    async def answer(self, named: Named | None, asked: Asked, endpoint: str = TOKEN) -> Answer:
        """Return the core's answer to a client, or to a person who refreshes their own login and names none.

        What the core refuses is committed: an assertion counts as used, a family as revoked.

        Raises:
            TooManyRequests: too many failures from this address.
            Refusal: a command refuses; that is committed as well.
        """
        row, tenant = await self._client(named, asked, endpoint)
        jwks = await self._keys_of(row, named)
        signers = await self._signers(row) if endpoint == TOKEN else ()
        refusal: Refusal | None = None
        async with self._of(tenant, row) as tx:
            client = await _active(tx, row, jwks)
            server = Server(tx, self.way, self.issuer, client, self.proof, signers, self.verify)
            try:
                answer = await bridge.run(partial(decided, server, asked, endpoint))
            except Refusal as error:
                refusal = error
            if server.refused == "client_credentials" and named is not None:
                await self._failed(tx, row)
        if server.refused is not None and (named is not None or server.refused == "refresh_token"):
            await self.way.count_failure(server.refused)
        if refusal is not None:
            raise refusal
        return answer

    async def _client(self, named: Named | None, asked: Asked, endpoint: str) -> tuple[Row | None, UUID | None]:
        """Return whom the request names, and the tenant that it is dealt with in."""
        if named is not None:
            async with self.way.system() as tx:
                row = await stored.find_presented_client(tx, as_uuid(named.client_id))
            return row, row["tenant_id"] if row else None
        if endpoint != TOKEN or asked.payload.grant_type != REFRESHING:
            return None, None
        token = RefreshToken.read(asked.form.get("refresh_token", ""))
        return OWN, token.tenant_id if token else None

    async def _keys_of(self, row: Row | None, named: Named | None) -> dict[str, Any] | None:
        """Return the keys that a client signs by, fetched where it publishes them; outside of any transaction."""
        if row is None or named is None or row["jwks_uri"] is None or not named.asserts:
            return row["jwks"] if row else None
        return await self.keys.of(row["jwks_uri"], named.kid, self.way.context.now)

    async def _signers(self, row: Row | None) -> tuple[Signer, ...]:
        """Return what signs access tokens, and ID tokens as the client reads them."""
        algorithms = (ALGORITHM, row["id_token_signed_response_alg"] if row else ALGORITHM)
        return tuple([await self.way.signer(algorithm) for algorithm in algorithms])

    def _of(self, tenant: UUID | None, row: Row | None) -> AbstractAsyncContextManager[Transaction]:
        if tenant is None or row is None:
            return self.way.system()
        return self.way.acting(tenant, "anonymous" if row is OWN else f"client:{row['id']}")

    async def _failed(self, tx: Transaction, row: Row | None) -> None:
        reason: Literal["unknown", "wrong-secret"] = "wrong-secret" if row else "unknown"
        subject = f"client:{row['id']}" if row else None
        address = self.way.context.address
        failed = LoginFailed(method="client_credentials", reason=reason, subject=subject, address=address)
        await tx.emit("session.failed", failed, entity=f"login:{tx.tenant_id}")


async def _active(tx: Transaction, row: Row | None, jwks: dict[str, Any] | None) -> Client | None:
    """Return the client, if its tenant is active; whoever refreshes their own login is told by the grant."""
    if row is None or (row is not OWN and (await accounts.find_tenant(tx))["status"] != "active"):
        return None
    return Client(row, tx, jwks)


def decided(server: Server, asked: Asked, endpoint: str) -> Answer:
    """Return what the core answers at an endpoint; errors come before it finds a grant as well."""
    try:
        answer: Answer = (
            server.create_token_response(asked)
            if endpoint == TOKEN
            else server.create_endpoint_response(endpoint, asked)
        )
    except OAuth2Error as error:
        answer = server.handle_error_response(asked, error)
    return answer


def as_uuid(text: str) -> UUID:
    """Return the id that a client presents; one that nobody has where it is no id, or written otherwise than given."""
    try:
        presented = UUID(text)
    except ValueError:
        return uuid4()
    return presented if str(presented) == text else uuid4()
