"""Forms of clients: parameters in, errors of RFC 6749 out, a client's credentials by exactly one method."""

import base64
import binascii
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

from fastapi import Request, Response

from libs.common.errors import Refusal
from libs.common.identity.dpop import BadProofError, Proof, read_proof
from services.auth import assertions, nonces, resources
from services.auth.api.shapes import NO_STORE, answer, doorway
from services.auth.commands import requests
from services.auth.desk import Credentials, Desk
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


def desk(request: Request) -> Desk:
    """Return the desk for whoever asks."""
    runtime = request.app.state.runtime
    return Desk(doorway(request), runtime.settings.public_url, runtime.extras["client_keys"], proof(request))


Endpoint = Callable[[Request], Awaitable[Response]]


def for_clients(endpoint: Endpoint) -> Endpoint:
    """Answer what goes wrong in the words of RFC 6749."""

    @wraps(endpoint)
    async def answered(request: Request) -> Response:
        try:
            return await endpoint(request)
        except OAuthError as error:
            return oauth_error(request, error)
        except Refusal as refusal:
            return refused(refusal)

    return answered


def form_schema(required: list[str], **properties: dict[str, Any]) -> dict[str, Any]:
    """Return what OpenAPI says of a form that a client sends, beside its credentials."""
    credentials = {
        "client_id": {"type": "string"},
        "client_secret": {"type": "string", "format": "password"},
        "client_assertion_type": {"type": "string", "enum": [assertions.KIND]},
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


def credentials(request: Request, form: dict[str, str]) -> Credentials | None:
    """Return the client's credentials, or None where there are none.

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
        return Credentials(form.get("client_id", ""), form.get("client_secret"))
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


def required(request: Request, form: dict[str, str]) -> Credentials:
    """Return the client's credentials.

    Raises:
        OAuthError: there are none or two, or they cannot be read.
    """
    presented = credentials(request, form)
    if presented is None:
        raise OAuthError("invalid_client", "the client has to authenticate", 401)
    return presented


def _assertion(form: dict[str, str]) -> Credentials:
    if form.get("client_assertion_type") != assertions.KIND or "client_assertion" not in form:
        raise OAuthError("invalid_client", "the client has to authenticate", 401)
    claimed = assertions.claimed_client(form["client_assertion"])
    if form.get("client_id", claimed) != claimed:
        raise OAuthError("invalid_client", "the client is unknown or did not prove who it is", 401)
    return Credentials(claimed, assertion=form["client_assertion"])


def _basic(header: str) -> Credentials:
    """Read RFC 6749, 2.3.1: both parts are form-encoded before they are joined."""
    scheme, _, value = header.partition(" ")
    try:
        client_id, colon, secret = base64.b64decode(value.lstrip(" "), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        colon = ""
    if scheme.lower() != "basic" or not colon:
        raise OAuthError("invalid_client", "the client has to authenticate", 401)
    return Credentials(unquote_plus(client_id), unquote_plus(secret))


def oauth_error(request: Request, error: OAuthError) -> Response:
    """Answer an error as RFC 6749, 5.2 says."""
    headers = dict(NO_STORE)
    if error.status == 401:  # noqa: PLR2004 - RFC 6749, 5.2; RFC 9110, 15.5.2
        headers["WWW-Authenticate"] = 'Basic realm="regent"'
    if error.code == "use_dpop_nonce":
        way = doorway(request)
        request.state.dpop_nonce = nonces.fresh(way.authority.throttle, way.context.now)
    return answer({"error": error.code, "error_description": error.description}, error.status, headers)


def refused(refusal: Refusal) -> Response:
    """Answer a refusal in the words of RFC 6749."""
    headers = dict(NO_STORE)
    if refusal.retry_after is not None:
        headers["Retry-After"] = str(refusal.retry_after)
    if refusal.kind == "invalid_scope":
        return answer({"error": "invalid_scope", "error_description": refusal.detail}, 400, headers)
    return answer({"error": "temporarily_unavailable", "error_description": refusal.detail}, refusal.status, headers)
