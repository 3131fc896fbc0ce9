"""What a refused caller is told about how to ask: WWW-Authenticate (RFC 6750, 3; RFC 9449, 7.1)."""

from collections.abc import Mapping
from typing import Any

from fastapi import Request

from libs.common.identity.dpop import ALGORITHMS

_ERRORS = {
    "invalid-token": "invalid_token",
    "token-expired": "invalid_token",
    "token-revoked": "invalid_token",
    "invalid-dpop-proof": "invalid_dpop_proof",
    "use-dpop-nonce": "use_dpop_nonce",
    "malformed-authorization": "invalid_request",
}
_UNAUTHENTICATED, _FORBIDDEN = 401, 403
_REALM = 'realm="regent"'
_ALGORITHMS = f'algs="{" ".join(ALGORITHMS)}"'


def challenge(request: Request, status: int, kind: str, detail: str, extra: Mapping[str, Any]) -> str | None:
    """Return the header for a refusal, or None where it needs none.

    Who sent no token is told both schemes and no error; who sent one is told in the scheme that they used.
    """
    if status == _UNAUTHENTICATED:
        error, scope = _ERRORS.get(kind), None
    elif status == _FORBIDDEN and "permission" in extra:
        error, scope = "insufficient_scope", str(extra["permission"])
    else:
        return None
    said = [_REALM]
    if error is not None:
        said += [f'error="{error}"', f'error_description="{_plain(detail)}"']
    if scope is not None:
        said.append(f'scope="{_plain(scope)}"')
    scheme = request.headers.get("authorization", "").partition(" ")[0].lower()
    if scheme == "dpop":
        return f"DPoP {', '.join([*said, _ALGORITHMS])}"
    bearer = f"Bearer {', '.join(said)}"
    return bearer if status == _FORBIDDEN else f"{bearer}, DPoP {_ALGORITHMS}"


def _plain(text: str) -> str:
    """Return a text without what may not stand in a quoted value (RFC 6750, 3)."""
    return "".join(letter for letter in text if letter.isascii() and letter.isprintable() and letter not in '"\\')
