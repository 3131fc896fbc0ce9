"""openid-client and oauth4webapi against the running stack: each of their checks is a test here."""

import asyncio
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey, OKPKey

from tests.conformance.browser import PASSWORD
from tests.conformance.server import API, CALLBACK, CLIENT, CODE, DEVICE, REFRESH, Person

HERE = Path(__file__).parent / "js"
LIBRARIES = ("openid-client", "oauth4webapi")
_NAME = re.compile(r'^ *check\(["`](.+?)["`], async', re.MULTILINE)
Results = dict[str, dict[str, dict[str, Any]]]


def names(library: str) -> list[str]:
    """Return the names of a script's checks, as they stand in it: one that a loop makes several of stands once."""
    return [name.partition("${")[0] for name in _NAME.findall((HERE / f"{library}.mjs").read_text(encoding="utf-8"))]


@pytest.fixture(scope="module")
async def results(person: Person) -> Results:
    """Run both scripts; returns what came of their checks."""
    if shutil.which("node") is None:
        pytest.skip("node is not installed, so clients of npm cannot be run")
    if not (HERE / "node_modules").is_dir():
        pytest.skip("clients of npm are not installed; `make clients` does it, with npm")
    given = json.dumps(await _given(person)).encode()
    found = await asyncio.gather(*(_run(library, given) for library in LIBRARIES))
    return dict(zip(LIBRARIES, found, strict=True))


async def _run(library: str, given: bytes) -> dict[str, dict[str, Any]]:
    pipes = {"stdin": asyncio.subprocess.PIPE, "stdout": asyncio.subprocess.PIPE, "stderr": asyncio.subprocess.PIPE}
    process = await asyncio.create_subprocess_exec("node", str(HERE / f"{library}.mjs"), **pipes)
    out, said = await asyncio.wait_for(process.communicate(given), 120)
    assert process.returncode == 0, said.decode()
    return {line["name"]: line for line in map(json.loads, out.decode().splitlines())}


async def _given(person: Person) -> dict[str, Any]:
    """Register the clients that the scripts are, and say what they need to know."""
    keys = {
        "ES256": ECKey.generate_key("P-256", {"kid": "one"}),
        "Ed25519": OKPKey.generate_key("Ed25519", {"kid": "two"}),
    }
    wanted: dict[str, dict[str, Any]] = {
        "web": {},
        "native": {"kind": "public", "redirect_uris": ["http://127.0.0.1/cb"]},
        "pushing": {"require_par": True},
        "bound": {"dpop": True},
        "boundNative": {"dpop": True, "kind": "public"},
        "old": {"id_token_signed_response_alg": "RS256"},
        "nonced": {"dpop": True, "dpop_nonce": True},
        "machine": {"grant_types": [CLIENT], "redirect_uris": [], "scopes": None, "roles": ["viewer"]},
        "device": {"kind": "public", "grant_types": [DEVICE, REFRESH], "redirect_uris": []},
        **{name: {"jwks": {"keys": [key.as_dict(private=False)]}} for name, key in keys.items()},
    }
    clients: dict[str, Any] = {}
    for name, changed in wanted.items():
        made = await person.register(**{"grant_types": [CODE, REFRESH], **changed})
        clients[name] = {"id": made.id, "secret": made.secret}
    for name, key in keys.items():
        clients[name]["key"] = key.as_dict(private=True)
    said = {"issuer": person.server.url, "api": API, "audience": "regent", "callback": CALLBACK, "clients": clients}
    who = {"email": person.email, "password": PASSWORD, "name": "Olga Owner", "subject": f"user:{person.id}"}
    return {**said, **who}


@pytest.mark.parametrize(("library", "name"), [(library, name) for library in LIBRARIES for name in names(library)])
def test_a_library_is_content(results: Results, library: str, name: str) -> None:
    """A check of the library's script passes."""
    ran = [one for one in results[library].values() if one["name"].startswith(name)]
    assert ran, "the check did not run"
    assert not [one for one in ran if not one["ok"]], "\n".join(str(one.get("error")) for one in ran)


@pytest.mark.parametrize("library", LIBRARIES)
def test_every_check_is_a_test(results: Results, library: str) -> None:
    """What a script ran was found in its source."""
    known = names(library)
    assert [name for name in results[library] if not any(name.startswith(one) for one in known)] == []
