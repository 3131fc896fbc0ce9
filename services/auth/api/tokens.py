"""Revocation (RFC 7009), introspection (RFC 7662), pushed requests (RFC 9126), userinfo (OpenID Connect)."""

from uuid import UUID

from fastapi import Depends, Request, Response

from libs.common.errors import Forbidden
from libs.common.http.door import Caller, Door, OpenDoor, Tx, caller
from services.auth.api import forms
from services.auth.api.shapes import NO_STORE, answer
from services.auth.commands import persons

ROUTER = OpenDoor("/oauth2", tag="oauth2")
OWN = Door("/oauth2", tag="oauth2")
_TOKEN = forms.form_schema(["token"], token={"type": "string"}, token_type_hint={"type": "string"})
_PUSHED = forms.form_schema(
    ["response_type", "redirect_uri", "code_challenge", "code_challenge_method"],
    **forms.ASKED,
)


@ROUTER.post("/revoke", name="revoke_token", openapi_extra=_TOKEN)
@forms.for_clients
async def revoke(request: Request) -> Response:
    """Void a token of the client's, with all that came of the same grant; an unknown token is fine, another's is not."""
    return await forms.answered(request, "revocation")


@ROUTER.post("/introspect", name="introspect_token", openapi_extra=_TOKEN)
@forms.for_clients
async def introspect(request: Request) -> Response:
    """Say what a token is good for, to its client or to a client that may read grants; else that it is not active."""
    return await forms.answered(request, "introspection")


@ROUTER.post("/par", status_code=201, name="push_request", openapi_extra=_PUSHED)
@forms.for_clients
async def push(request: Request) -> Response:
    """Take an authorization request from the client itself; the browser then brings a reference to it."""
    return await forms.answered(request, "par")


async def _userinfo(tx: Tx, principal: Caller) -> Response:
    if not {"openid"} <= principal.permissions:
        raise Forbidden(
            "The token was not given for this: its scope lacks openid.",
            type="insufficient-scope",
            extra={"permission": "openid"},
        )
    told = await persons.claims(tx, UUID(principal.subject.removeprefix("user:")), principal.permissions)
    return answer({"sub": principal.subject, "tenant_id": principal.tenant_id, **told}, headers=NO_STORE)


@OWN.get("/userinfo", name="userinfo", dependencies=[Depends(caller)])
async def userinfo(tx: Tx, principal: Caller) -> Response:
    """Say who the user behind the token is, as far as its scope goes (OpenID Connect Core, 5.3)."""
    return await _userinfo(tx, principal)


@OWN.post("/userinfo", name="userinfo_by_post", dependencies=[Depends(caller)])
async def userinfo_by_post(tx: Tx, principal: Caller) -> Response:
    """Say the same to who asks by POST."""
    return await _userinfo(tx, principal)
