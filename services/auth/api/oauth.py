"""The token endpoint (RFC 6749): form in, JSON out, errors in its own words."""

from fastapi import Request, Response

from libs.common.http.door import OpenDoor
from services.auth.api import forms
from services.auth.api.shapes import doorway, token_answer
from services.auth.commands.grants import Renewal
from services.auth.desk import Credentials
from services.auth.doorway import Tokens
from services.auth.protocol import DEVICE, OAuthError
from services.auth.resources import Target

ROUTER = OpenDoor("/oauth2", tag="oauth2")
GRANT_TYPES = ("authorization_code", "client_credentials", "refresh_token", DEVICE)
_FORM = forms.form_schema(
    ["grant_type"],
    grant_type={"type": "string", "enum": list(GRANT_TYPES)},
    code={"type": "string"},
    device_code={"type": "string"},
    redirect_uri={"type": "string"},
    code_verifier={"type": "string"},
    refresh_token={"type": "string"},
    scope={"type": "string", "description": "permissions separated by spaces"},
    resource=forms.RESOURCE,
)


@ROUTER.post("/token", name="token", openapi_extra=_FORM)
@forms.for_clients
async def token(request: Request) -> Response:
    """Exchange a client's credentials, a code or a refresh token for an access token."""
    form = await forms.read_form(request)
    return token_answer(await _tokens(request, form, forms.credentials(request, form)))


async def _tokens(request: Request, form: dict[str, str], presented: Credentials | None) -> Tokens:
    kind = form.get("grant_type")
    if kind is None:
        raise OAuthError("invalid_request", "grant_type is missing")
    if kind not in GRANT_TYPES:
        raise OAuthError("unsupported_grant_type", f"grant_type is one of {', '.join(GRANT_TYPES)}")
    if kind == "refresh_token":
        return await _refresh(request, form, presented)
    if presented is None:
        raise OAuthError("invalid_client", "the client has to authenticate", 401)
    if kind == "authorization_code":
        return await _code(request, form, presented)
    if kind == DEVICE:
        return await _device(request, form, presented)
    return await forms.desk(request).client_credentials(presented, form)


async def _code(request: Request, form: dict[str, str], presented: Credentials) -> Tokens:
    missing = [name for name in ("code", "redirect_uri", "code_verifier") if name not in form]
    if missing:
        raise OAuthError("invalid_request", f"{missing[0]} is missing")
    return await forms.desk(request).code(presented, form)


async def _device(request: Request, form: dict[str, str], presented: Credentials) -> Tokens:
    if "device_code" not in form:
        raise OAuthError("invalid_request", "device_code is missing")
    return await forms.desk(request).device(presented, form)


async def _refresh(request: Request, form: dict[str, str], presented: Credentials | None) -> Tokens:
    """Refresh what a user gave a client, or, where no client is named, a person's own login."""
    if "refresh_token" not in form:
        raise OAuthError("invalid_request", "refresh_token is missing")
    if presented is not None:
        return await forms.desk(request).refresh(presented, form)
    target = Target.read(form, request.app.state.runtime.settings.public_url)
    tokens = await doorway(request).refresh(form["refresh_token"], Renewal(target, form.get("scope")))
    if tokens is None:
        raise OAuthError("invalid_grant", "the refresh token is unknown, used, expired or revoked")
    return tokens
