"""The token endpoint (RFC 6749): form in, JSON out, errors in its own words."""

from fastapi import Request, Response

from libs.common.http.door import OpenDoor
from services.auth.api import forms
from services.auth.protocol import GRANT_TYPES

ROUTER = OpenDoor("/oauth2", tag="oauth2")
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
    return await forms.answered(request)
