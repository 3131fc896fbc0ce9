"""What anybody may know: public keys (RFC 7517) and where things are (RFC 8414, OpenID Connect Discovery)."""

from typing import Any

from authlib.oauth2 import rfc9207
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata
from authlib.oidc import rpinitiated
from authlib.oidc.discovery import OpenIDProviderMetadata
from fastapi import Request, Response

from libs.common.context import Context
from libs.common.errors import NotFound
from libs.common.http.door import OpenDoor
from libs.common.identity.audience import COLLECTIONS
from libs.common.identity.dpop import ALGORITHMS as DPOP_ALGORITHMS
from libs.common.ids import SYSTEM_TENANT
from libs.common.settings import SettingsError
from services.auth.api.shapes import answer
from services.auth.authentication import ONE_FACTOR, TWO_FACTORS
from services.auth.commands.persons import CLAIMS
from services.auth.core.authorization import PROMPTS
from services.auth.core.client import METHODS
from services.auth.permissions import CATALOGUE
from services.auth.protocol import GRANT_TYPES, IDENTITY_SCOPES
from services.auth.registration import ASSERTION_ALGORITHMS
from services.auth.signing import ID_TOKEN_ALGORITHMS
from services.auth.store import keys

ROUTER = OpenDoor("/.well-known", tag="metadata")
_CLAIMS = ("sub", "iss", "aud", "exp", "iat", "auth_time", "nonce", "at_hash", "acr", "amr")
_CACHED = {"Cache-Control": "public, max-age=300"}


@ROUTER.get("/jwks.json", name="jwks")
async def jwks(request: Request) -> Response:
    """Return the public keys: those that sign, will sign, and did until a moment ago."""
    async with request.app.state.database.transaction(Context(SYSTEM_TENANT, "anonymous")) as tx:
        known = await keys.all_keys(tx)
    return answer({"keys": [row["jwk"] for row in known]}, 200, _CACHED)


@ROUTER.get("/oauth-authorization-server", name="oauth_metadata")
async def oauth_authorization_server(request: Request) -> Response:
    """Describe the authorization server (RFC 8414)."""
    return answer(described(request.app.state.runtime.settings.public_url), 200, _CACHED)


@ROUTER.get("/openid-configuration", name="openid_configuration")
async def openid_configuration(request: Request) -> Response:
    """Describe the issuer to clients that look here for its keys."""
    return answer(described_provider(request.app.state.runtime.settings.public_url), 200, _CACHED)


@ROUTER.get("/oauth-protected-resource", name="resource_metadata")
async def protected_resource(request: Request) -> Response:
    """Describe the API to clients that look for tokens for it (RFC 9728)."""
    return answer(_resource(request, ""), 200, _CACHED)


@ROUTER.get("/oauth-protected-resource/v1/{collection}", name="collection_metadata")
async def protected_collection(request: Request, collection: str) -> Response:
    """Describe one collection of the API as a resource of its own."""
    if collection not in COLLECTIONS:
        raise NotFound("There is no such collection.")
    return answer(_resource(request, f"/v1/{collection}"), 200, _CACHED)


def _resource(request: Request, path: str) -> dict[str, Any]:
    issuer = request.app.state.runtime.settings.public_url
    return {
        "resource": f"{issuer}{path}",
        "authorization_servers": [issuer],
        "bearer_methods_supported": ["header"],
        "dpop_signing_alg_values_supported": list(DPOP_ALGORITHMS),
        "dpop_bound_access_tokens_required": False,
        "scopes_supported": _permissions(),
    }


def _permissions() -> list[str]:
    return sorted(f"{resource}:{action}" for resource, actions in CATALOGUE.items() for action in actions)


def described(issuer: str) -> AuthorizationServerMetadata:
    """Return what RFC 8414 says of an issuer."""
    methods = {
        f"{endpoint}_endpoint_auth_{what}_supported": list(values)
        for endpoint, known in (("token", METHODS), ("revocation", METHODS), ("introspection", METHODS[:3]))
        for what, values in (("methods", known), ("signing_alg_values", ASSERTION_ALGORITHMS))
    }
    said = {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/oauth2/authorize",
        "token_endpoint": f"{issuer}/oauth2/token",
        "device_authorization_endpoint": f"{issuer}/oauth2/device_authorization",
        "revocation_endpoint": f"{issuer}/oauth2/revoke",
        "introspection_endpoint": f"{issuer}/oauth2/introspect",
        "pushed_authorization_request_endpoint": f"{issuer}/oauth2/par",
        "require_pushed_authorization_requests": False,
        "jwks_uri": f"{issuer}/.well-known/jwks.json",
        "grant_types_supported": list(GRANT_TYPES),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": True,
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
        "dpop_signing_alg_values_supported": list(DPOP_ALGORITHMS),
        **methods,
        "scopes_supported": sorted({*_permissions(), *IDENTITY_SCOPES}),
        "protected_resources": [issuer],
    }
    return AuthorizationServerMetadata(said)


def described_provider(issuer: str) -> OpenIDProviderMetadata:
    """Return what OpenID Connect Discovery says beyond it."""
    more = {
        "userinfo_endpoint": f"{issuer}/oauth2/userinfo",
        "end_session_endpoint": f"{issuer}/oauth2/end_session",
        "subject_types_supported": ["public"],
        "claim_types_supported": ["normal"],
        "acr_values_supported": [ONE_FACTOR, TWO_FACTORS],
        "id_token_signing_alg_values_supported": list(ID_TOKEN_ALGORITHMS),
        "claims_supported": [*_CLAIMS, *CLAIMS],
        "prompt_values_supported": list(PROMPTS),
        "claims_parameter_supported": False,
    }
    return OpenIDProviderMetadata({**described(issuer), **more})


def require_sound_metadata(issuer: str) -> None:
    """Check that an issuer can be described by the standards before anything is opened.

    Raises:
        SettingsError: its URL is neither https nor loopback, or holds more than a URL of an issuer may.
    """
    extensions = [rfc9207.AuthorizationServerMetadata, rpinitiated.OpenIDProviderMetadata]
    try:
        described(issuer).validate([rfc9207.AuthorizationServerMetadata])
        described_provider(issuer).validate(extensions)
    except ValueError as error:
        raise SettingsError(f"configuration: REGENT_PUBLIC_URL cannot be an issuer: {error}") from None
