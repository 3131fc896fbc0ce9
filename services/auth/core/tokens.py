"""The grants of the token endpoint: the core asks, our commands look up under locks, give and take back."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from authlib.oauth2.rfc6749 import (
    AccessDeniedError,
    ClientCredentialsGrant,
    InvalidGrantError,
    InvalidRequestError,
    RefreshTokenGrant,
)
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc8628 import DeviceCodeGrant

from libs.common.database.transaction import Row
from services.auth import domain, protocol
from services.auth.commands import clients, codes, device, grants, standing
from services.auth.commands.grants import Entry, Renewable, Renewal
from services.auth.core.bridge import wait
from services.auth.core.client import METHODS, Client
from services.auth.core.requests import Issued
from services.auth.opaque import RefreshToken
from services.auth.protocol import OAuthError
from services.auth.store import devices, flows

if TYPE_CHECKING:
    from services.auth.core.server import Server


class _Granting:
    """What all grants here share: the client, the key that it proves, and the tokens that leave."""

    TOKEN_ENDPOINT_AUTH_METHODS = METHODS
    METHOD: Any
    request: Any
    server: "Server"
    jkt: str | None
    entry: Entry

    def authenticate_token_endpoint_client(self) -> Client:
        """Return the client, once it has proven who it is and which key it holds, and somebody answers for it."""
        client: Client = super().authenticate_token_endpoint_client()  # type: ignore[misc]
        self.request.client = client
        wait(standing.require_answered_for(self.server.tx, client.row))
        self.jkt = self.server.bound(client)
        return client

    def give(self, entry: Entry | None, otherwise: type[Exception] = InvalidGrantError) -> Issued:
        """Return the tokens of an entry; the core's own would live for ten days.

        Raises:
            otherwise: there is none.
        """
        if entry is None:
            raise otherwise
        self.entry, code, server = entry, self.request.authorization_code, self.server
        nonce = code.row["nonce"] if code else None
        return Issued(server.way.sign(server.signers, server.tx.tenant_id, entry, self.METHOD, nonce).content())

    def given(self, row: Row) -> Entry | None:
        """Return what a user gave to the client by a code."""
        target, lifetime = self.server.target(self.request), self.server.way.authority.lifetimes.login
        known: dict[str, Any] = {"lifetime": lifetime, "jkt": self.jkt, "target": target}
        return wait(grants.open_given(self.server.tx, self.request.client.row, row, method=self.METHOD, **known))


class ClientCredentials(_Granting, ClientCredentialsGrant):
    """A client on its own behalf."""

    METHOD = "client_credentials"

    def generate_token(self, scope: str | None = None, **_: Any) -> Issued:
        """Let the client in."""
        row, target = self.request.client.row, self.server.target(self.request)
        entry = wait(clients.enter(self.server.tx, row, scope))
        return self.give(replace(entry, jkt=self.jkt, resource=target.named, nonce=row["dpop_nonce"]))


class Challenge(CodeChallenge):
    """PKCE by S256 alone, for every client, at the authorization endpoint already; `plain` is the core's default."""

    SUPPORTED_CODE_CHALLENGE_METHOD = ("S256",)
    CODE_CHALLENGE_METHODS = {"S256": CodeChallenge.CODE_CHALLENGE_METHODS["S256"]}  # noqa: RUF012

    def validate_code_challenge(self, grant: Any, redirect_uri: str) -> None:
        """Refuse a request without a challenge; the core would ask public clients alone, and later."""
        sent = grant.request.form
        if "code_challenge_method" not in sent or not protocol.is_challenge(sent.get("code_challenge", "")):
            raise OAuthError("invalid_request", "send a code_challenge by S256 (RFC 7636)")
        super().validate_code_challenge(grant, redirect_uri)

    def validate_code_verifier(self, grant: Any, result: Any) -> None:
        """Refuse a malformed verifier like a wrong one (RFC 7636, 4.6)."""
        try:
            super().validate_code_verifier(grant, result)
        except InvalidRequestError:
            if "code_verifier" not in grant.request.form:
                raise
            raise InvalidGrantError from None


class CodeTokens(_Granting):
    """Exchanges a code: a minute long, used once, for one client, URI, verifier and key."""

    METHOD = "authorization_code"

    def query_authorization_code(self, code: str, client: Client) -> codes.Given | None:
        """Return the client's code, locked; a URI is always part of a request, since it always was of the one before."""
        if "redirect_uri" not in self.request.form:
            raise OAuthError("invalid_request", "redirect_uri is missing")
        return wait(codes.find(self.server.tx, client.row, code, self.jkt))

    def authenticate_user(self, code: codes.Given) -> Row:
        """Return what the user gave, once; a second use, right but for being the second, revokes what the first gave."""
        row = wait(codes.usable(self.server.tx, code))
        if row is None:
            raise OAuthError("invalid_grant", "the code was used, or has expired")
        return row

    def generate_token(self, user: Row, **_: Any) -> Issued:
        """Open the grant that the user gave."""
        return self.give(self.given(user))

    def delete_authorization_code(self, code: codes.Given) -> None:
        """Mark the code used; it stays, so that its reuse is seen."""
        wait(flows.use_code(self.server.tx, code.row["sha256"], self.entry.grant_id))


class Refresh(_Granting, RefreshTokenGrant):
    """Exchanges a refresh token for the next one; a person's own login without a client's name."""

    METHOD = "refresh_token"
    INCLUDE_NEW_REFRESH_TOKEN = True

    def authenticate_refresh_token(self, text: str) -> Renewable:
        """Return the token, its grant locked; its reuse revokes the family."""
        presented, client = RefreshToken.read(text), self.request.client
        asked = Renewal(self.server.target(self.request), None if client.is_own else client.row, self.jkt)
        found = None
        if presented is not None and presented.tenant_id == self.server.tx.tenant_id:
            found = wait(grants.renewable(self.server.tx, presented, asked))
        if found is None:
            self.server.refused = "refresh_token" if client.is_own else None
            raise OAuthError("invalid_grant", "the refresh token is unknown, used, expired or revoked")
        return found

    def _validate_token_scope(self, token: Renewable) -> None:
        """Narrow what is held; the core would compare names, and ours may be of several permissions (`run:*`)."""
        token.permissions = domain.narrowed(token.permissions, self.request.form.get("scope"))

    def authenticate_user(self, token: Renewable) -> Renewable:
        """Return the token: its user was looked up with it."""
        return token

    def generate_token(self, user: Renewable, **_: Any) -> Issued:
        """Make the next token."""
        return self.give(wait(grants.renew(self.server.tx, user)))

    def revoke_old_credential(self, token: Renewable) -> None:
        """Mark the token used; it stays, so that its reuse is seen."""
        wait(grants.use_up(self.server.tx, token))


class Device(_Granting, DeviceCodeGrant):
    """Exchanges a device's code once a person has allowed it; the core would exchange it again and again."""

    METHOD = "device_code"

    def query_device_credential(self, device_code: str) -> device.Waiting:
        """Return what waits under the client's code, locked; the core has another word for a wrong code (RFC 8628, 3.5)."""
        waiting = wait(device.find(self.server.tx, self.request.client.row, device_code))
        if waiting is None:
            raise OAuthError("invalid_grant", "the device code is unknown, used or another client's")
        return waiting

    def query_user_grant(self, waiting: device.Waiting) -> tuple[Row, bool] | None:
        """Return what the person decided, or None where nobody has yet."""
        status = waiting.row["status"]
        return None if status == "pending" else (waiting.row, status == "approved")

    def should_slow_down(self, waiting: device.Waiting) -> bool:
        """Note the poll, and say whether it came too early."""
        return wait(device.is_hasty(self.server.tx, waiting.row))

    def generate_token(self, user: Row, **_: Any) -> Issued:
        """Open the grant that the user gave, and use the code up."""
        entry = self.given(user)
        wait(devices.change(self.server.tx, user["sha256"], status="used"))
        return self.give(entry, AccessDeniedError)
