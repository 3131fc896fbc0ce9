"""Access tokens that nobody issued, signed with a key that the services trust: one claim at a time can be wrong."""

import base64
import hashlib
import hmac
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import orjson
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc.jwk import ECKey
from sqlalchemy import insert

from libs.common.context import Context, utc_now
from libs.common.database.pool import Database
from libs.common.ids import SYSTEM_TENANT
from services.auth.store.tables import signing_key


def part(value: Any) -> str:
    """Return one part of a compact JWT."""
    content = value if isinstance(value, bytes) else orjson.dumps(value)
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def signed(header: dict[str, Any], claims: Any, key: ECKey) -> str:
    """Return a JWT signed by a key of P-256, whatever its header says."""
    text = f"{part(header)}.{part(claims)}"
    r, s = decode_dss_signature(key.private_key.sign(text.encode(), ECDSA(SHA256())))
    return f"{text}.{part(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


@dataclass(frozen=True, slots=True)
class Forge:
    """A published key, and what a sound token of the issuer says."""

    issuer: str
    key: ECKey
    kid: str
    tenant: UUID

    def header(self, **changed: Any) -> dict[str, Any]:
        """Return a token's header; None leaves a parameter out."""
        said = {"alg": "ES256", "kid": self.kid, "typ": "at+jwt", **changed}
        return {name: value for name, value in said.items() if value is not None}

    def claims(self, **changed: Any) -> dict[str, Any]:
        """Return a token's claims; None leaves one out."""
        now = int(time.time())
        said = {
            "iss": self.issuer,
            "aud": "regent",
            "sub": f"user:{uuid4()}",
            "client_id": "regent",
            "tenant_id": str(self.tenant),
            "gid": str(uuid4()),
            "scope": "report:read",
            "jti": str(uuid4()),
            "iat": now,
            "nbf": now,
            "exp": now + 300,
            **changed,
        }
        return {name: value for name, value in said.items() if value is not None}

    def token(self, header: dict[str, Any] | None = None, **claims: Any) -> str:
        """Return a token signed by the published key."""
        return self.signed(self.header(**(header or {})), self.claims(**claims), self.key)

    def signed(self, header: dict[str, Any], claims: Any, key: ECKey) -> str:
        """Return a token signed by any key of the curve, whatever its header says."""
        return signed(header, claims, key)

    def hashed(self, secret: bytes, algorithm: str = "HS256", **header: Any) -> str:
        """Return a token whose signature is an HMAC."""
        text = f"{part(self.header(alg=algorithm, **header))}.{part(self.claims())}"
        digest = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}[algorithm]
        return f"{text}.{part(hmac.digest(secret, text.encode(), digest))}"


async def publish_forge(database: Database, issuer: str) -> Forge:
    """Have the tests' own key published as one that signed until a moment ago."""
    kid, tenant = f"forge-{uuid4().hex}", uuid4()
    key = ECKey.generate_key("P-256", {"kid": kid, "use": "sig", "alg": "ES256"}, private=True)
    now = utc_now()
    row = {"kid": kid, "jwk": key.as_dict(private=False), "state": "retiring", "created_at": now}
    async with database.transaction(Context(SYSTEM_TENANT, "service:auth", now)) as tx:
        await tx.execute(insert(signing_key).values(**row, retired_at=now + timedelta(hours=1)))
    return Forge(issuer, key, kid, tenant)
