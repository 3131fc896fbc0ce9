"""What clients ask beside tokens: revocation, introspection, device authorization, pushed requests."""

from typing import TYPE_CHECKING, Any

from authlib.oauth2.rfc6749 import Endpoint, EndpointRequest, OAuth2Error
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7662 import IntrospectionEndpoint
from authlib.oauth2.rfc8628 import DeviceAuthorizationEndpoint

from services.auth.commands import device, requests, standing, tokens
from services.auth.commands.tokens import Known
from services.auth.core.bridge import wait
from services.auth.core.client import METHODS, Client
from services.auth.core.requests import Asked
from services.auth.opaque import Handle
from services.auth.protocol import DEVICE, OAuthError

if TYPE_CHECKING:
    from services.auth.core.server import Server


class _OfTokens:
    """What both endpoints for tokens share."""

    CLIENT_AUTH_METHODS = METHODS
    server: "Server"

    def check_params(self, request: Asked, _: Client) -> None:
        """Require a token; a hint that says nothing to us is passed over (RFC 7009, 2.1), which the core refuses."""
        if "token" not in request.form:
            raise OAuthError("invalid_request", "token is missing")

    def query_token(self, token: str, _: str | None) -> Known | None:
        """Return what a token is, if there is a grant behind it that lives; the hint changes nothing."""
        return wait(tokens.find(self.server.tx, token, self.server.verify(token)))


class Revocation(_OfTokens, RevocationEndpoint):
    """Voids a client's own token, with all that came of its grant (RFC 7009)."""

    def revoke_token(self, token: Known, _: Asked) -> None:
        """Void it."""
        wait(tokens.revoke(self.server.tx, token))


class Introspection(_OfTokens, IntrospectionEndpoint):
    """Says what a token is good for, to its client or to a client that may read grants (RFC 7662)."""

    def authenticate_endpoint_client(self, request: Asked) -> Client:
        """Return the client; one that anybody can say to be learns nothing."""
        client: Client = super().authenticate_endpoint_client(request)
        if client.row["kind"] == "public":
            raise OAuthError("invalid_client", "only clients that authenticate may ask", 401)
        return client

    def check_permission(self, token: Known, client: Client, _: Asked) -> bool:
        """Say whether the client may know."""
        return wait(tokens.may_know(self.server.tx, client.row, token))

    def introspect_token(self, token: Known) -> dict[str, Any]:
        """Return what there is to know."""
        return token.told(self.server.issuer)


class DeviceAuthorization(DeviceAuthorizationEndpoint):
    """Gives a device a code to poll with, and one for a person to type elsewhere (RFC 8628)."""

    CLIENT_AUTH_METHODS = METHODS
    EXPIRES_IN = int(device.LIFE.total_seconds())
    INTERVAL = device.WAIT

    def authenticate_client(self, request: Asked) -> None:
        """Require a client that is registered for this; the core would let every client begin."""
        super().authenticate_client(request)
        if not request.client.check_grant_type(DEVICE):
            raise OAuthError("unauthorized_client", "the client is not registered for this grant")
        wait(standing.require_answered_for(self.server.tx, request.client.row))
        self._client, self._target = request.client, self.server.target(request)

    def generate_device_code(self) -> str:
        """Return a code that names its tenant."""
        return Handle.make(device.PREFIX, self.server.tx.tenant_id).text

    def get_verification_uri(self) -> str:
        """Return the page where a person types the code."""
        return f"{self.server.issuer}/oauth2/device"

    def save_device_credential(self, _: str, scope: str | None, data: dict[str, Any]) -> None:
        """Keep the hashes of both codes, with what the device asks for."""
        server, client = self.server, self._client
        mark = device.mark(server.way.authority.throttle, data["user_code"])
        asked = {"client_id": client.row["id"], "scope": client.get_allowed_scope(scope).split()}
        wait(device.begin(server.tx, data["device_code"], mark, {**asked, "resource": self._target.resource}))


class Pushing(Endpoint):
    """Takes an authorization request from the client itself; the browser then brings a reference to it (RFC 9126)."""

    ENDPOINT_NAME = "par"
    SHOWN = (*requests.PUSHED, "request", "registration")
    """What is asked for, and what has an error of its own, pushed or not."""

    def validate_request(self, request: Asked) -> EndpointRequest:
        """Check the request that is pushed as if a browser brought it; the client is told of errors directly."""
        client = self.server.authenticate_client(request, METHODS, self.ENDPOINT_NAME)
        pushed = Asked(request.uri, self._pushed(request, client, self.server.proven(client)), method="GET")
        self.server.pushed = True
        try:
            self.server.get_consent_grant(pushed)
        except OAuth2Error as error:
            error.redirect_uri = error.state = None
            raise
        return EndpointRequest(pushed, client)

    def create_response(self, validated_request: EndpointRequest) -> tuple[int, dict[str, Any], list[tuple[str, str]]]:
        """Keep the request for a minute."""
        client, sent = validated_request.client, validated_request.request.form
        reference = wait(requests.push(self.server.tx, client.row["id"], sent))
        return 201, {"request_uri": reference, "expires_in": int(requests.LIFE.total_seconds())}, []

    def _pushed(self, request: Asked, client: Client, jkt: str | None) -> dict[str, str]:
        """Return the parameters without the client's credentials; a proof's key is that of the code."""
        values = {name: value for name, value in request.form.items() if name in self.SHOWN}
        if "request_uri" in request.form or any("\x00" in value for value in values.values()):
            raise OAuthError("invalid_request", "a pushed request holds its parameters plainly")
        if jkt is not None and values.setdefault("dpop_jkt", jkt) != jkt:
            raise OAuthError("invalid_dpop_proof", "the proof is of another key than dpop_jkt")
        return {**values, "client_id": client.get_client_id()}
