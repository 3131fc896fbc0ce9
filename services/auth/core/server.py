"""The core itself, made anew for each request: what it registers, and where its answers differ from its own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from authlib.oauth2.rfc6749 import AuthorizationServer, InvalidClientError, UnsupportedGrantTypeError

from libs.common.database.transaction import Transaction
from libs.common.identity.dpop import Proof
from libs.common.identity.principal import Principal
from services.auth import nonces, opaque
from services.auth.core import tokens
from services.auth.core.assertion import ClientAssertion
from services.auth.core.authorization import Code, Issuer, Strict
from services.auth.core.bridge import wait
from services.auth.core.client import ASSERTED, Client
from services.auth.core.endpoints import DeviceAuthorization, Introspection, Pushing, Revocation
from services.auth.core.requests import Answer, Asked, Issued
from services.auth.doorway import Doorway, Method
from services.auth.protocol import OAuthError
from services.auth.resources import Target
from services.auth.signing import Signer
from services.auth.store import flows


def _nobody(_: str) -> Principal | None:
    return None


@dataclass(eq=False)
class Server(AuthorizationServer):
    """Decides what one request is worth; `client` is whom it names, before that is proven: None where nobody knows it."""

    tx: Transaction
    way: Doorway
    issuer: str
    client: Client | None
    proof: Proof | None = None
    signers: Sequence[Signer] = ()
    """What signs access tokens, and the client's ID tokens; opened before the transaction."""

    verify: Callable[[str], Principal | None] = _nobody
    """Returns whose an access token is that is good as far as its text says."""

    pushed: bool = False
    """Whether an authorization request came by the client itself (RFC 9126)."""

    refused: Method | None = None
    """What is to be counted as a failed way in."""

    def __post_init__(self) -> None:
        """Register what there is."""
        super().__init__()
        self.register_client_auth_method(ASSERTED, ClientAssertion(self))
        self.register_grant(tokens.ClientCredentials)
        self.register_grant(tokens.Refresh)
        self.register_grant(Code, [Strict(), tokens.Challenge()])
        self.register_grant(tokens.Device)
        for endpoint in (Revocation, Introspection, DeviceAuthorization, Pushing):
            self.register_endpoint(endpoint)
        self.register_extension(Issuer(self.issuer))

    def create_oauth2_request(self, request: Asked) -> Asked:
        """Return the request: it was read before, strictly."""
        return request

    def handle_response(self, status: int, body: Any, headers: Any) -> Answer:
        """Return an answer."""
        return Answer(status, body, dict(headers), dict(headers).get("Location"))

    def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Tell nobody: what happens is announced by the commands, as events of the same transaction."""

    def save_token(self, token: Issued, request: Asked) -> None:
        """Do nothing more: the grants keep what they give where they make it, and access tokens are kept nowhere."""

    def query_client(self, client_id: str) -> Client | None:
        """Return the client: it was looked up before, since its tenant is the transaction's."""
        known = self.client
        return known if known and not known.is_own and known.get_client_id() == client_id else None

    def authenticate_client(self, request: Asked, methods: Any, endpoint: str = "token") -> Client:
        """Return the client, once it has proven who it is by the one method that it registered.

        Raises:
            OAuthError: it is unknown or proves nothing: one answer, where the core has several.
        """
        if self.client and self.client.is_own:
            return self.client
        try:
            client: Client = super().authenticate_client(request, methods, endpoint)
        except InvalidClientError:
            self.refused = "client_credentials"
            raise OAuthError("invalid_client", "the client is unknown or did not prove who it is", 401) from None
        return client

    def get_token_grant(self, request: Asked) -> Any:
        """Return the grant that is asked for.

        Raises:
            OAuthError: there is no such grant; the core would say so where none is named, and quote what was sent.
        """
        try:
            return super().get_token_grant(request)
        except UnsupportedGrantTypeError:
            if request.payload.grant_type is None:
                raise OAuthError("invalid_request", "grant_type is missing") from None
            raise OAuthError("unsupported_grant_type", "grant_type is one that the metadata name") from None

    def target(self, asked: Asked) -> Target:
        """Return what a request is for (RFC 8707).

        Raises:
            OAuthError: it is none of ours.
        """
        return Target.read(asked.form, self.issuer)

    def bound(self, client: Client) -> str | None:
        """Return the key that the request proves; each proof counts once, and a client may have to bring one.

        Raises:
            OAuthError: as `proven`; or there has to be a proof.
        """
        if self.proof is None and client.row["dpop"]:
            raise OAuthError("invalid_dpop_proof", "this client's requests come with a proof (RFC 9449)")
        return None if client.is_own else self.proven(client)

    def proven(self, client: Client) -> str | None:
        """Return the key that the request's proof shows, if there is one.

        Raises:
            OAuthError: the proof was used before, or lacks a nonce of ours that it needs or repeats an old one.
        """
        if self.proof is None:
            return None
        nonce, throttle = self.proof.nonce, self.way.authority.throttle
        if client.row["dpop_nonce"] if nonce is None else not nonces.is_fresh(throttle, nonce, self.tx.context.now):
            raise OAuthError("use_dpop_nonce", "the proof has to carry the nonce of this answer")
        seen = opaque.digest(f"dpop:{self.proof.jkt}:{self.proof.identifier}")
        if not wait(flows.first_time(self.tx, seen, self.proof.until)):
            raise OAuthError("invalid_dpop_proof", "the proof was used before")
        return self.proof.jkt
