"""The pages behind the links of mails: plain, accessible, and nothing of a link leaves the browser but in a body."""

import json
import re
import shutil
import subprocess

import pytest

from services.auth.api import accounts, invitations
from services.auth.api.account_pages import PAGES, SCRIPT
from tests.auth.world import World

BODIES = {
    "signup": accounts.SignUp,
    "verify": accounts.Chosen,
    "forgot": accounts.Forgotten,
    "reset": accounts.Chosen,
    "email": accounts.Confirmed,
    "join": invitations.Accepted,
}


@pytest.mark.parametrize("name", PAGES)
async def test_a_page_sends_what_its_route_takes(world: World, name: str) -> None:
    """S23: each form's fields, with the link's token, are exactly the body of the route that it is sent to."""
    async with world.client() as http:
        answer = await http.get(f"/account/{name}")
    assert answer.status_code == 200
    fields = set(re.findall(r'<input id="\w+" name="(\w+)"', answer.text))
    fields |= {"token"} if " data-token" in answer.text else set()
    assert fields == set(BODIES[name].model_fields)
    (action,) = re.findall(r'<form method="post" action="([^"]+)"', answer.text)
    routes = {route.path for router in (accounts.PUBLIC, invitations.PUBLIC) for route in router.routes}  # type: ignore[attr-defined]
    assert action in routes


@pytest.mark.parametrize("name", PAGES)
async def test_a_page_can_be_used_by_everybody(world: World, name: str) -> None:
    """Each input has its label, the result is announced, and nobody frames, caches or extends the page."""
    async with world.client() as http:
        answer = await http.get(f"/account/{name}")
    labels = set(re.findall(r'<label for="(\w+)"', answer.text))
    assert labels == set(re.findall(r'<input id="(\w+)"', answer.text))
    assert 'role="status"' in answer.text
    assert '<html lang="en">' in answer.text
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'; connect-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"


async def test_the_script_is_served(world: World) -> None:
    """The page's own origin serves it, as a script."""
    async with world.client() as http:
        answer = await http.get("/account/account.js")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/javascript")


_NODE = shutil.which("node")
_BROWSER = """
const attributes = { action: "/v1/password/reset", "data-done": "Done.", "data-token": "" };
const button = { disabled: false }, message = { focus() {} }, seen = [];
let submitted;
const form = {
  hidden: false, getAttribute: (name) => attributes[name], hasAttribute: (name) => name in attributes,
  querySelector: () => button, addEventListener: (_name, listener) => { submitted = listener; },
};
globalThis.window = {
  location: { hash: "#pw_secret", pathname: "/account/reset" },
  history: { replaceState: (_state, _title, path) => seen.push(["address", path]) },
};
globalThis.document = { querySelector: () => form, getElementById: () => message };
globalThis.FormData = class { forEach(take) { take("a new password", "password"); } };
globalThis.fetch = async (path, request) => { seen.push([path, JSON.parse(request.body)]); return { ok: true }; };
"""
_SUBMIT = """
submitted({ preventDefault() { seen.push("kept here"); } });
setTimeout(() => console.log(JSON.stringify([seen, form.hidden, message.textContent])), 10);
"""


@pytest.mark.skipif(_NODE is None, reason="the script runs where node is")
def test_the_script_sends_the_token_in_the_body() -> None:
    """The token leaves the address bar and goes into the body of one request, and the result is said."""
    program = _BROWSER + SCRIPT.decode() + _SUBMIT
    done = subprocess.run([str(_NODE), "-"], input=program, capture_output=True, text=True, check=True, timeout=30)  # noqa: S603
    sent = ["/v1/password/reset", {"password": "a new password", "token": "pw_secret"}]
    assert json.loads(done.stdout) == [[["address", "/account/reset"], "kept here", sent], True, "Done."]


async def test_there_is_no_other_page(world: World) -> None:
    """What is not a page is not found."""
    async with world.client() as http:
        assert (await http.get("/account/nothing")).status_code == 404
