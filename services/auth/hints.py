"""ID tokens that clients hand back to say whom they mean (OpenID Connect Core, 3.1.2.1; RP-Initiated Logout, 2)."""

from collections.abc import Sequence
from dataclasses import dataclass

import orjson
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry

from libs.common.database.transaction import Row, Transaction
from services.auth.store import keys

_HEADER = {"alg", "kid", "typ"}
_MAX_TEXT = 8000


@dataclass(frozen=True, slots=True)
class Hint:
    """Whom a client means, and which client it was told to."""

    subject: str
    client_id: str


async def read_hint(tx: Transaction, text: str, issuer: str) -> Hint | None:
    """Read an ID token of ours, however old; None where it is none. The tenant is the system tenant."""
    return hint_of(text, await keys.all_keys(tx), issuer)


def hint_of(text: str, known: Sequence[Row], issuer: str) -> Hint | None:
    """Read an ID token that one of these keys signed; whoever holds it knows it, so its age says nothing."""
    if len(text) > _MAX_TEXT:
        return None
    try:
        header = jws.extract_compact(text.encode()).headers()
        row = next((row for row in known if row["kid"] == header.get("kid")), None)
        if row is None or set(header) != _HEADER or header["typ"] != "JWT":
            return None
        key = JWKRegistry.import_key(row["jwk"])
        claims = orjson.loads(jws.deserialize_compact(text, key, algorithms=[row["algorithm"]]).payload)
        told = Hint(claims["sub"], claims["aud"])
    except (JoseError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return told if claims["iss"] == issuer else None
