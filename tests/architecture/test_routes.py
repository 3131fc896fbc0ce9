"""Every route says who may enter, or stands on the list of those that ask for nobody."""

import importlib
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from deploy.local.routes import owner
from libs.common.http.door import Permission, caller
from services.auth.permissions import exists
from tests.architecture.source import SERVICES
from tests.documented import model_of, statuses

DOCUMENTED = ("catalog", "runner", "scheduler", "validator")
"""The services of which every answer has a schema."""

# Nobody is known yet, or nothing but public knowledge is given away.
PUBLIC = {
    "POST /oauth2/token": "the client's secret or the refresh token in the form is the proof",
    "GET /v1/challenge": "what is solved before a token can be had",
    "POST /oauth2/revoke": "the client's authentication is the proof",
    "POST /oauth2/introspect": "the client's authentication is the proof",
    "POST /oauth2/par": "the client's authentication is the proof",
    "POST /oauth2/second-factor": "the pending login, the code and our own form's token are the proof",
    "POST /oauth2/device_authorization": "the client's authentication is the proof",
    "GET /oauth2/device": "a login page, or the page of whoever has a session",
    "POST /oauth2/device/login": "address and password, or the second factor, in our own form are the proof",
    "POST /oauth2/device": "the browser's session and our own form's token are the proof",
    "GET /oauth2/authorize": "the browser brings a client's request; a login page is what it gets",
    "POST /oauth2/login": "address and password in our own form are the proof",
    "POST /oauth2/consent": "the browser's session and our own form's token are the proof",
    "POST /oauth2/continue": "the browser's session and our own form's token are the proof",
    "GET /oauth2/upstream/{id}": "sends the browser to a provider of the tenant whose client asks",
    "GET /oauth2/upstream/{id}/callback": "state, cookie, code and the provider's signature are the proof",
    "GET /oauth2/logout": "a page for whoever has a session",
    "POST /oauth2/logout": "the browser's session and our own form's token are the proof",
    "POST /v1/login": "a token is what the caller comes for",
    "POST /v1/login/second-factor": "the first step's token and a code are the proof",
    "POST /v1/login/second-factor/passkey": "the same with a passkey's signature",
    "POST /v1/login/second-factor/passkey/options": "the first step's token is the proof",
    "POST /v1/login/second-factor/enrol": "the first step's token is the proof",
    "GET /account/account.js": "a script without anything secret in it",
    "GET /account/passkeys.js": "the same",
    "GET /account": "the page of whoever has a session, or a login page",
    "POST /account/login": "address and password, or the second factor, in our own form are the proof",
    "GET /account/password": "a form for whoever has a session, or a login page",
    "GET /account/address": "a form for whoever has a session, or a login page",
    "POST /account/address": "the browser's session, our own form's token and the password are the proof",
    "POST /account/logout": "the browser's session and our own form's token are the proof",
    "POST /account/end": "the browser's session and our own form's token are the proof",
    "POST /account/app": "the browser's session and our own form's token are the proof",
    "POST /account/app/confirm": "the browser's session and our own form's token are the proof",
    "POST /account/passkey": "the browser's session and our own form's token are the proof",
    "POST /account/passkey/finish": "the browser's session and our own form's token are the proof",
    "POST /account/remove": "the browser's session and our own form's token are the proof",
    "POST /account/codes": "the browser's session and our own form's token are the proof",
    "POST /account/password": "the browser's session and our own form's token are the proof",
    "GET /setup": "an empty form; the one-time link that is sent with it is the proof",
    "GET /account/{name}": "an empty form; what is sent with it proves who sends it",
    "POST /v1/signup": "a link by mail is what the caller comes for",
    "POST /v1/signup/verify": "the link that came by mail is the proof",
    "POST /v1/password/forgot": "a link by mail is what the caller comes for",
    "POST /v1/password/reset": "the link that came by mail is the proof",
    "POST /v1/email/confirm": "the link that came by mail is the proof",
    "POST /v1/invitations/providers": "the link that came by mail is the proof",
    "POST /v1/invitations/accept/upstream": "the same; the provider's signature follows",
    "GET /account/at/{tenant}": "a login page with the names of a tenant's providers",
    "GET /account/identities": "a login page, or the page of whoever has a session",
    "POST /account/identities/link": "the browser's session, our own form's token and the password are the proof",
    "POST /account/identities/unlink": "the browser's session and our own form's token are the proof",
    "POST /v1/invitations/accept": "the link that came by mail is the proof",
    "POST /v1/setup": "the one-time link is the proof",
    "GET /.well-known/jwks.json": "public keys",
    "GET /.well-known/oauth-authorization-server": "public metadata (RFC 8414)",
    "GET /.well-known/openid-configuration": "the same under the name that clients look for",
    "POST /oauth2/authorize": "the same request as a form",
    "GET /oauth2/end_session": "logging out on a client's wish; whose is not sure is asked",
    "POST /oauth2/end_session": "the same as a form",
    "POST /oauth2/end_session/confirm": "the answer, bound to the browser's session",
    "GET /.well-known/oauth-protected-resource": "public metadata of the API (RFC 9728)",
    "GET /.well-known/oauth-protected-resource/v1/{collection}": "the same for one collection",
}
# Any valid token will do: the caller acts on nothing but their own session.
OWN = {
    "POST /v1/logout": "ends the caller's own session",
    "GET /oauth2/userinfo": "tells who the user behind the token is",
    "POST /oauth2/userinfo": "the same",
    "GET /v1/sessions": "lists the caller's own sessions",
    "POST /v1/sessions/{id}/end": "ends one of the caller's own sessions",
    "POST /v1/sessions/end-all": "ends all of the caller's own sessions",
    "POST /v1/password": "changes the caller's own password, which is asked for",
    "POST /v1/email": "changes the caller's own address; the password is asked for",
    "GET /v1/me": "tells the caller who they are",
    "POST /v1/me/leave": "ends the caller's own membership",
    "GET /v1/me/factors": "the caller's own second factors",
    "POST /v1/me/factors/passkey": "begins to add a passkey, with the caller's password",
    "POST /v1/me/factors/passkey/finish": "adds it, with its answer",
    "POST /v1/me/factors/totp": "adds one, with the caller's password",
    "POST /v1/me/factors/{id}/confirm": "lets it count, with a code of it",
    "POST /v1/me/factors/{id}/remove": "removes one, with the caller's password",
    "GET /v1/me/identities": "the caller's own links",
    "POST /v1/me/identities": "begins to make one, with the caller's password or second factor",
    "POST /v1/me/identities/{id}/unlink": "removes one of the caller's own",
    "POST /v1/me/recovery-codes": "replaces the caller's own, with their password",
}


def routes(service: str) -> list[APIRoute]:
    """Return all routes that a service declares."""
    routers = importlib.import_module(f"services.{service}.api").ROUTERS
    return [route for router in routers for route in router.routes]


def named(route: APIRoute) -> str:
    """Return `METHOD /path`."""
    return f"{min(route.methods)} {route.path}"


def asked(dependant: Dependant) -> Iterator[Any]:
    """Yield everything that a route depends on."""
    for dependency in dependant.dependencies:
        yield dependency.call
        yield from asked(dependency)


def permissions_of(route: APIRoute) -> set[str]:
    """Return the permissions that a route asks for."""
    return {call.name for call in asked(route.dependant) if isinstance(call, Permission)}


@pytest.mark.parametrize("service", SERVICES)
def test_every_route_asks_for_a_permission(service: str) -> None:
    """A user without a role can do nothing: each route names the permission that it needs."""
    open_routes = {named(route) for route in routes(service) if not permissions_of(route)}
    assert open_routes - set(PUBLIC) - set(OWN) == set()


def test_the_lists_of_exceptions_are_exact() -> None:
    """What is listed as public or own exists, and asks for no permission."""
    open_routes = {named(route) for service in SERVICES for route in routes(service) if not permissions_of(route)}
    assert open_routes == set(PUBLIC) | set(OWN)


def test_own_routes_still_ask_who_is_there() -> None:
    """A route without a permission that is not public authenticates its caller."""
    found = {named(route): route for route in routes("auth")}
    for name in OWN:
        assert caller in set(asked(found[name].dependant))


def test_every_permission_asked_for_can_be_granted() -> None:
    """A route that asks for a permission which no role can hold would be shut for everybody."""
    wanted = {name for service in SERVICES for route in routes(service) for name in permissions_of(route)}
    assert {name for name in wanted if not exists(name)} == set()


@pytest.mark.parametrize("service", SERVICES)
def test_the_gateway_leads_to_every_route(service: str) -> None:
    """What a service offers can be reached: the gateway's table gives each path to its owner."""
    lost = [named(route) for route in routes(service) if owner(route.path.replace("{", "").replace("}", "")) != service]
    assert lost == []


def test_no_two_routes_share_a_name_in_one_service() -> None:
    """Operation ids are made from names: each is unique in its service."""
    for service in SERVICES:
        names = [(route.name, tuple(sorted(route.methods))) for route in routes(service)]
        assert len(names) == len(set(names))


@pytest.mark.parametrize("service", DOCUMENTED)
def test_every_json_answer_has_a_schema(service: str) -> None:
    """Who generates a client gets a type for each answer; without a model it would be anything."""
    answers = [(route, status) for route in routes(service) for status in statuses(route)]
    assert answers
    assert [f"{named(route)} {status}" for route, status in answers if model_of(route, status) is None] == []


@pytest.mark.parametrize("service", DOCUMENTED)
def test_answers_are_made_once(service: str) -> None:
    """A route documents its answers and writes them itself: a `response_model` would be a second way, and read lists again."""
    assert [named(route) for route in routes(service) if route.response_model is not None] == []
