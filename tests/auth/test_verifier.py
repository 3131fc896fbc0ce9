"""Access tokens are refused when anything about them is not exactly right (S11)."""

import base64
import hmac
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import orjson
import pytest
from joserfc import jws
from joserfc.jwk import ECKey, RSAKey

from libs.common.errors import Unauthenticated, Unavailable
from libs.common.identity.state import IdentityState
from libs.common.identity.verifier import Verifier
from services.auth.signing import Access, Signer

ISSUER = "https://regent.test"
NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
TENANT, GRANT = uuid4(), uuid4()
KEY = ECKey.generate_key("P-256", {"kid": "k1"}, private=True)
FOREIGN = ECKey.generate_key("P-256", {"kid": "k1"}, private=True)
HEADER = {"alg": "ES256", "kid": "k1", "typ": "at+jwt"}
CLAIMS: dict[str, Any] = {
    "iss": ISSUER,
    "aud": "regent",
    "sub": f"user:{uuid4()}",
    "tenant_id": str(TENANT),
    "gid": str(GRANT),
    "scope": "run:read run:start",
    "jti": str(uuid4()),
    "iat": int(NOW.timestamp()),
    "nbf": int(NOW.timestamp()),
    "exp": int(NOW.timestamp()) + 300,
}


@pytest.fixture
def state() -> IdentityState:
    known = IdentityState()
    known.replace({"key.k1": {"jwk": KEY.as_dict(private=False)}})
    return known


@pytest.fixture
def verifier(state: IdentityState) -> Verifier:
    return Verifier(state, ISSUER)


def signed(claims: dict[str, Any], header: dict[str, Any] = HEADER, key: ECKey = KEY) -> str:
    return jws.serialize_compact(header, orjson.dumps(claims), key, algorithms=["ES256"])


def part(content: Any) -> str:
    text = content if isinstance(content, bytes) else orjson.dumps(content)
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in CLAIMS.items() if key != name}


def test_what_auth_signs_is_taken(verifier: Verifier) -> None:
    """The writer and the reader of tokens agree."""
    access = Access("user:1", TENANT, GRANT, frozenset({"run:read", "user:*"}), int(NOW.timestamp()), 300)
    principal = verifier.verify(Signer(ISSUER, "k1", KEY).sign(access), NOW)
    assert (principal.tenant_id, principal.grant_id, principal.subject) == (TENANT, GRANT, "user:1")
    assert principal.may("user:write")
    assert not principal.may("run:start")


@pytest.mark.parametrize("name", sorted(CLAIMS))
def test_each_claim_is_required(verifier: Verifier, name: str) -> None:
    """A token that lacks one claim is none (S11)."""
    verifier.verify(signed(CLAIMS), NOW)
    with pytest.raises(Unauthenticated):
        verifier.verify(signed(without(name)), NOW)


WRONG_CLAIMS: dict[str, dict[str, Any]] = {
    "foreign issuer": {"iss": "https://other.test"},
    "issuer with a slash": {"iss": ISSUER + "/"},
    "foreign audience": {"aud": "other"},
    "audience list": {"aud": ["regent", "other"]},
    "resource beside a foreign one": {"aud": [ISSUER, "https://other.test"]},
    "foreign resource": {"aud": "https://other.test/v1/runs"},
    "resource that is none": {"aud": f"{ISSUER}/v1/nothing"},
    "resource of a longer name": {"aud": f"{ISSUER}.other/v1/runs"},
    "audience empty": {"aud": []},
    "audience null": {"aud": None},
    "audience of numbers": {"aud": [1]},
    "expired": {"exp": int(NOW.timestamp()) - 1, "iat": int(NOW.timestamp()) - 200},
    "expires now": {"exp": int(NOW.timestamp())},
    "not yet valid": {"nbf": int(NOW.timestamp()) + 60},
    "issued in the future": {"iat": int(NOW.timestamp()) + 60, "exp": int(NOW.timestamp()) + 300},
    "lives too long": {"exp": int(NOW.timestamp()) + 301},
    "exp as text": {"exp": str(CLAIMS["exp"])},
    "exp as float": {"exp": float(CLAIMS["exp"])},
    "exp as true": {"exp": True},
    "exp null": {"exp": None},
    "nbf as text": {"nbf": "0"},
    "empty jti": {"jti": ""},
    "subject of no kind": {"sub": "root"},
    "subject of another kind": {"sub": "service:auth"},
    "subject as number": {"sub": 1},
    "tenant no id": {"tenant_id": "*"},
    "tenant null": {"tenant_id": None},
    "grant no id": {"gid": "../x"},
    "scope null": {"scope": None},
}


@pytest.mark.parametrize("change", WRONG_CLAIMS.values(), ids=WRONG_CLAIMS.keys())
def test_each_wrong_claim_is_refused(verifier: Verifier, change: dict[str, Any]) -> None:
    """A token signed by the right key with a wrong claim is none (S11)."""
    with pytest.raises(Unauthenticated):
        verifier.verify(signed({**CLAIMS, **change}), NOW)


WRONG_HEADERS: dict[str, dict[str, Any]] = {
    "no typ": {"alg": "ES256", "kid": "k1"},
    "typ JWT": {**HEADER, "typ": "JWT"},
    "typ upper": {**HEADER, "typ": "AT+JWT"},
    "no kid": {"alg": "ES256", "typ": "at+jwt"},
    "unknown kid": {**HEADER, "kid": "k2"},
    "kid path": {**HEADER, "kid": "../../dev/null"},
    "kid sql": {**HEADER, "kid": "k1' OR '1'='1"},
    "jku": {**HEADER, "jku": "https://evil.test/jwks.json"},
    "x5u": {**HEADER, "x5u": "https://evil.test/cert.pem"},
    "jwk": {**HEADER, "jwk": FOREIGN.as_dict(private=False)},
    "x5c": {**HEADER, "x5c": ["MIIB"]},
    "b64": {**HEADER, "b64": True},
    "crit": {**HEADER, "crit": ["exp"]},
}


@pytest.mark.parametrize("header", WRONG_HEADERS.values(), ids=WRONG_HEADERS.keys())
def test_each_wrong_header_is_refused(verifier: Verifier, header: dict[str, Any]) -> None:
    """Nothing but alg, kid and typ is understood, so nothing else is taken (S11)."""
    signing_input = f"{part(header)}.{part(CLAIMS)}"
    good = signed(CLAIMS, HEADER)
    with pytest.raises(Unauthenticated):
        verifier.verify(f"{signing_input}.{good.rsplit('.', 1)[1]}", NOW)
    with pytest.raises(Unauthenticated):
        verifier.verify(f"{signing_input}.{_raw_signature(signing_input)}", NOW)


def _raw_signature(signing_input: str) -> str:
    """Sign any header at all with the right key, as a library that checks nothing would."""
    return part(jws.JWSRegistry.algorithms["ES256"].sign(signing_input.encode(), KEY))


@pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE", "", "HS256", "ES384", "RS256"])
def test_another_algorithm_is_refused(verifier: Verifier, name: str) -> None:
    """No algorithm but ES256, and never none (S11)."""
    body = f"{part({**HEADER, 'alg': name})}.{part(CLAIMS)}"
    for signature in ("", _raw_signature(body)):
        with pytest.raises(Unauthenticated):
            verifier.verify(f"{body}.{signature}", NOW)


SECRETS: dict[str, Callable[[], bytes]] = {
    "pem": lambda: KEY.as_pem(private=False),
    "der": lambda: KEY.as_der(private=False),
    "jwk": lambda: orjson.dumps(KEY.as_dict(private=False)),
    "kid": lambda: b"k1-padded-to-a-decent-length",
}


@pytest.mark.parametrize("make", SECRETS.values(), ids=SECRETS.keys())
def test_the_public_key_is_no_shared_secret(verifier: Verifier, make: Callable[[], bytes]) -> None:
    """A MAC made from public data does not pass for a signature (S11)."""
    body = f"{part({**HEADER, 'alg': 'HS256'})}.{part(CLAIMS)}"
    token = f"{body}.{part(hmac.digest(make(), body.encode(), 'sha256'))}"
    with pytest.raises(Unauthenticated):
        verifier.verify(token, NOW)


def test_a_foreign_key_is_refused(verifier: Verifier) -> None:
    """A key of the same id that is not ours signs nothing (S11)."""
    with pytest.raises(Unauthenticated):
        verifier.verify(signed(CLAIMS, HEADER, FOREIGN), NOW)
    rsa = RSAKey.generate_key(2048, {"kid": "k1"}, private=True)
    token = jws.serialize_compact({**HEADER, "alg": "RS256"}, orjson.dumps(CLAIMS), rsa, algorithms=["RS256"])
    with pytest.raises(Unauthenticated):
        verifier.verify(token, NOW)


def test_altered_bytes_are_refused(verifier: Verifier) -> None:
    """Any other payload under a good signature is refused (S11)."""
    header, _, signature = signed(CLAIMS).split(".")
    for claims in ({**CLAIMS, "scope": "user:*"}, {**CLAIMS, "tenant_id": str(uuid4())}):
        with pytest.raises(Unauthenticated):
            verifier.verify(f"{header}.{part(claims)}.{signature}", NOW)


@pytest.mark.parametrize("text", ["", ".", "..", "a.b", "a.b.c", "a.b.c.d", "é.b.c", f"{part(HEADER)}..", "\x00"])
def test_what_is_no_token_is_refused(verifier: Verifier, text: str) -> None:
    """Garbage is a refusal, never a failure (S11)."""
    with pytest.raises(Unauthenticated):
        verifier.verify(text, NOW)


@pytest.mark.parametrize("payload", [b"[]", b"1", b"null", b"{", b"\xff"])
def test_a_signed_payload_that_is_no_object_is_refused(verifier: Verifier, payload: bytes) -> None:
    """Even our own signature does not make claims of it (S11)."""
    token = jws.serialize_compact(HEADER, payload, KEY, algorithms=["ES256"])
    with pytest.raises(Unauthenticated):
        verifier.verify(token, NOW)


def test_a_cached_token_still_expires(verifier: Verifier) -> None:
    """What was good once is checked against the clock each time (S11)."""
    token = signed(CLAIMS)
    verifier.verify(token, NOW)
    with pytest.raises(Unauthenticated):
        verifier.verify(token, NOW + timedelta(seconds=300))


def test_a_retired_key_and_a_revoked_grant_end_cached_tokens(state: IdentityState, verifier: Verifier) -> None:
    """A cached token ends with its key, its grant or its tenant's suspension (S11)."""
    token, key = signed(CLAIMS), {"key.k1": {"jwk": KEY.as_dict(private=False)}}
    for entries in (
        {**key, f"revoked.{GRANT}": {}},
        {**key, f"tenant.{TENANT}": {"status": "suspended"}},
        {"key.k2": {"jwk": FOREIGN.as_dict(private=False)}},
    ):
        state.replace(key)
        verifier.verify(token, NOW)
        state.replace(entries)
        with pytest.raises(Unauthenticated):
            verifier.verify(token, NOW)


def test_stale_revocations_stop_writes_then_everything(
    state: IdentityState, verifier: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After 30 s without revocations writes are refused, after a token's life everything (S11)."""
    token = signed(CLAIMS)
    for age, reads, writes in ((29, True, True), (31, True, False), (301, False, False)):
        monkeypatch.setattr(IdentityState, "age", lambda _, age=age: age)
        for allowed, writing in ((reads, False), (writes, True)):
            if allowed:
                verifier.verify(token, NOW, writes=writing)
            else:
                with pytest.raises(Unavailable):
                    verifier.verify(token, NOW, writes=writing)


def test_nothing_is_verified_before_the_first_snapshot() -> None:
    """A process that knows nothing yet serves nobody (S11)."""
    with pytest.raises(Unavailable):
        Verifier(IdentityState(), ISSUER).verify(signed(CLAIMS), NOW, writes=False)
