"""Forms of clients: parameters in, errors of RFC 6749 out, a client's credentials by exactly one method."""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any
from urllib.parse import parse_qsl

from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749.util import extract_basic_authorization
from fastapi import Request, Response

from libs.common.context import utc_now
from libs.common.errors import Refusal, Unauthenticated
from libs.common.identity.dpop import BadProofError, Proof, read_proof
from libs.common.identity.principal import Principal
from libs.common.identity.verifier import Verifier
from services.auth import nonces, resources
from services.auth.api.shapes import NO_STORE, answer, doorway
from services.auth.commands import requests
from services.auth.core import assertion
from services.auth.core.requests import Asked
from services.auth.desk import TOKEN, Desk, Named
from services.auth.protocol import OAuthError

_MAX_FIELDS = 30
RESOURCE = {
    "type": "array",
    "items": {"type": "string", "format": "uri"},
    "description": "what the token is for (RFC 8707): the API's public URL, or collections such as `<public URL>/v1/runs`",
}

ASKED: dict[str, dict[str, Any]] = {
    **{name: {"type": "string"} for name in requests.PUSHED if name != "client_id"},
    "resource": RESOURCE,
}


Endpoint = Callable[[Request], Awaitable[Response]]


def for_clients(endpoint: Endpoint) -> Endpoint:
    """Answer what goes wrong in the words of RFC 6749."""

    @wraps(endpoint)
    async def answered(request: Request) -> Response:
        try:
            return await endpoint(request)
        except OAuth2Error as error:
            return response(request, *error())
        except Refusal as refusal:
            return refused(refusal)

    return answered


def form_schema(required: list[str], **properties: dict[str, Any]) -> dict[str, Any]:
    """Return what OpenAPI says of a form that a client sends, beside its credentials."""
    credentials = {
        "client_id": {"type": "string"},
        "client_secret": {"type": "string", "format": "password"},
        "client_assertion_type": {"type": "string", "enum": [assertion.KIND]},
        "client_assertion": {"type": "string"},
    }
    schema = {"type": "object", "required": required, "properties": {**properties, **credentials}}
    content = {"application/x-www-form-urlencoded": {"schema": schema}}
    return {"requestBody": {"required": True, "content": content}}


async def read_form(request: Request) -> dict[str, str]:
    """Read a form; empty parameters count as left out (RFC 6749, 3.2).

    Raises:
        OAuthError: it is no form, or repeats a parameter.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise OAuthError("invalid_request", "send the parameters as application/x-www-form-urlencoded")
    if request.url.query:
        raise OAuthError("invalid_request", "send the parameters in the body, not in the URL")
    try:
        pairs = parse_qsl((await request.body()).decode(), errors="strict", max_num_fields=_MAX_FIELDS)
    except ValueError:
        raise OAuthError("invalid_request", "the body cannot be read") from None
    names = [name for name, _ in pairs if name != resources.PARAMETER]
    if len(set(names)) != len(names):
        raise OAuthError("invalid_request", "a parameter is repeated")
    return resources.joined(pairs)


async def answered(request: Request, endpoint: str = TOKEN) -> Response:
    """Return the core's answer at an endpoint.

    Raises:
        OAuthError: the form or the credentials cannot be read. Refusal: as `Desk.answer`.
    """
    form = await read_form(request)
    named = credentials(request, form)
    if named is not None:  # a name without a secret may stand in the header as well
        form = {"client_id": named.client_id, **form}
    runtime = request.app.state.runtime
    issuer = runtime.settings.public_url
    headers = {"Authorization": request.headers.get("authorization", "")}
    desk = Desk(doorway(request), issuer, runtime.extras["client_keys"], _verifier(request), proof(request))
    told = await desk.answer(named, Asked(issuer + request.url.path, form, headers=headers), endpoint)
    return response(request, told.status, told.content, told.headers)


def _verifier(request: Request) -> Callable[[str], Principal | None]:
    """Return what reads access tokens: whose one is, if it is good as far as its text says."""
    verifier: Verifier = request.app.state.verifier

    def verify(token: str) -> Principal | None:
        try:
            return verifier.verify(token, utc_now(), writes=False)
        except Unauthenticated:
            return None

    return verify


def credentials(request: Request, form: dict[str, str]) -> Named | None:
    """Return whom the client's credentials name, or None where there are none.

    Raises:
        OAuthError: there are two, or they cannot be read.
    """
    headers = request.headers.getlist("authorization")
    ways = len(headers) + ("client_secret" in form) + ("client_assertion" in form)
    if ways > 1:
        raise OAuthError("invalid_request", "use one way to authenticate the client")
    if headers:
        basic = _basic(headers[0])
        if form.get("client_id", basic.client_id) != basic.client_id:
            raise OAuthError("invalid_request", "the client is named twice, differently")
        return basic
    if "client_assertion" in form or "client_assertion_type" in form:
        return _assertion(form)
    if "client_id" in form or "client_secret" in form:
        return Named(form.get("client_id", ""))
    return None


def proof(request: Request) -> Proof | None:
    """Return the proof of possession that comes with a request (RFC 9449), or None where none does.

    Raises:
        OAuthError: there are two, or it does not hold.
    """
    given = request.headers.getlist("dpop")
    if not given:
        return None
    url = request.app.state.runtime.settings.public_url + request.url.path
    way = doorway(request)
    try:
        if len(given) == 1:
            read = read_proof(given[0], request.method, url, way.context.now)
            if read.nonce is not None:  # who uses nonces is always told the next one
                request.state.dpop_nonce = nonces.fresh(way.authority.throttle, way.context.now)
            return read
    except BadProofError as error:
        raise OAuthError("invalid_dpop_proof", str(error)) from error
    raise OAuthError("invalid_dpop_proof", "there are two proofs")


def _assertion(form: dict[str, str]) -> Named:
    if form.get("client_assertion_type") != assertion.KIND or "client_assertion" not in form:
        raise _unproven()
    claimed, kid = assertion.claimed(form["client_assertion"])
    if form.get("client_id", claimed) != claimed:
        raise _unproven()
    return Named(claimed, asserts=True, kid=kid)


def _basic(header: str) -> Named:
    """Read whom a header names; what the core cannot read, and ends in a 500 by, is refused here."""
    try:
        client_id, secret = extract_basic_authorization({"Authorization": header})
    except ValueError:
        client_id = secret = None
    if not client_id or secret is None:
        raise _unproven()
    return Named(client_id)


def _unproven() -> OAuthError:
    return OAuthError("invalid_client", "the client has to authenticate", 401)


def response(request: Request, status: int, content: Any, headers: Any) -> Response:
    """Return an answer of the core; never to be cached."""
    if isinstance(content, dict) and content.get("error") == "use_dpop_nonce":
        way = doorway(request)
        request.state.dpop_nonce = nonces.fresh(way.authority.throttle, way.context.now)
    return answer(content, status, {**NO_STORE, **{k: v for k, v in dict(headers).items() if k != "Content-Type"}})


def refused(refusal: Refusal) -> Response:
    """Answer a refusal in the words of RFC 6749."""
    headers = dict(NO_STORE)
    if refusal.retry_after is not None:
        headers["Retry-After"] = str(refusal.retry_after)
    if refusal.kind == "invalid_scope":
        return answer({"error": "invalid_scope", "error_description": refusal.detail}, 400, headers)
    return answer({"error": "temporarily_unavailable", "error_description": refusal.detail}, refusal.status, headers)
