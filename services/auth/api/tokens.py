"""Revocation (RFC 7009), introspection (RFC 7662), pushed requests (RFC 9126), userinfo (OpenID Connect)."""

from typing import Any
from uuid import UUID

import orjson
from fastapi import Depends, Request, Response
from joserfc import jws

from libs.common.context import utc_now
from libs.common.database.transaction import Row, Transaction
from libs.common.errors import Forbidden, Unauthenticated
from libs.common.http.door import Caller, Door, OpenDoor, Tx, caller
from libs.common.identity.principal import Principal
from libs.common.identity.verifier import Verifier
from services.auth import asking
from services.auth.api import forms
from services.auth.api.shapes import NO_STORE, answer
from services.auth.asking import Parameters
from services.auth.commands import persons, requests, tokens
from services.auth.desk import Credentials
from services.auth.opaque import RefreshToken
from services.auth.protocol import OAuthError

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
    presented, token = await _asked(request)
    refresh, access = _read(request, token)

    async def work(tx: Transaction, client: Row) -> None:
        await tokens.revoke(tx, client, refresh, access)

    await forms.desk(request).serve(presented, work)
    return Response(status_code=200, headers=dict(NO_STORE))


@ROUTER.post("/introspect", name="introspect_token", openapi_extra=_TOKEN)
@forms.for_clients
async def introspect(request: Request) -> Response:
    """Say what a token is good for, to its client or to a client that may read grants; else that it is not active."""
    presented, token = await _asked(request)
    refresh, access = _read(request, token)

    async def work(tx: Transaction, client: Row) -> dict[str, Any] | None:
        if client["kind"] == "public":
            raise OAuthError("invalid_client", "only clients that authenticate may ask", 401)
        return await tokens.inspect(tx, client, refresh, access)

    _, found = await forms.desk(request).serve(presented, work)
    if found is None:
        return answer({"active": False}, 200, NO_STORE)
    return answer(
        {"active": True, **(_claims(token) if access else {"iss": forms.desk(request).issuer, **found})}, 200, NO_STORE
    )


@ROUTER.post("/par", status_code=201, name="push_request", openapi_extra=_PUSHED)
@forms.for_clients
async def push(request: Request) -> Response:
    """Take an authorization request from the client itself; the browser then brings a reference to it."""
    form = await forms.read_form(request)
    presented, desk = forms.required(request, form), forms.desk(request)

    async def work(tx: Transaction, client: Row) -> str:
        parameters = _pushed(form, client, await desk.proven(tx, client))
        asking.checked(client, parameters, asking.redirect_of(client, parameters), desk.issuer, pushed=True)
        return await requests.push(tx, client["id"], parameters.values)

    _, reference = await desk.serve(presented, work)
    seconds = int(requests.LIFE.total_seconds())
    return answer({"request_uri": reference, "expires_in": seconds}, 201, NO_STORE)


_REFUSED = ("request", "registration")
"""What has an error of its own, pushed or not."""


def _pushed(form: dict[str, str], client: Row, jkt: str | None) -> Parameters:
    """Return the parameters in a form, without the client's credentials; a proof's key is that of the code."""
    values = {name: value for name, value in form.items() if name in (*requests.PUSHED, *_REFUSED)}
    if "request_uri" in form or any("\x00" in value for value in values.values()):
        raise OAuthError("invalid_request", "a pushed request holds its parameters plainly")
    if jkt is not None and values.setdefault("dpop_jkt", jkt) != jkt:
        raise OAuthError("invalid_dpop_proof", "the proof is of another key than dpop_jkt")
    return Parameters({**values, "client_id": str(client["id"])})


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


async def _asked(request: Request) -> tuple[Credentials, str]:
    form = await forms.read_form(request)
    presented = forms.required(request, form)
    if "token" not in form:
        raise OAuthError("invalid_request", "token is missing")
    return presented, form["token"]


def _read(request: Request, token: str) -> tuple[RefreshToken | None, Principal | None]:
    """Return what a token can be: ours to look up, or an access token that is good as far as its text says."""
    verifier: Verifier = request.app.state.verifier
    try:
        access = verifier.verify(token, utc_now(), writes=False)
    except Unauthenticated:
        access = None
    return RefreshToken.read(token), access


def _claims(token: str) -> dict[str, Any]:
    """Return the claims of a token that was verified."""
    claims: dict[str, Any] = orjson.loads(jws.extract_compact(token.encode()).payload)
    return {**claims, "token_type": "DPoP" if "cnf" in claims else "Bearer"}
