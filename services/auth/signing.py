"""Signs tokens with the active keys; private parts are sealed at rest and open in memory only.

Access tokens are ES256 alone. ID tokens are what their client reads: ES256, or RS256, which every OpenID provider has to
offer (OpenID Connect Discovery, 3).
"""

import asyncio
import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import orjson
from joserfc import jws
from joserfc.jwk import ECKey, KeyParameters, RSAKey

from libs.common.crypto.vault import Vault
from libs.common.database.transaction import Transaction
from libs.common.errors import Unavailable
from libs.common.identity.audience import EVERYWHERE
from libs.common.identity.verifier import ALGORITHM, TOKEN_TYPE
from services.auth.protocol import half_url
from services.auth.store import keys

RSA = "RS256"
ID_TOKEN_ALGORITHMS = (ALGORITHM, RSA)
_RSA_BITS = 2048
_REREAD = timedelta(seconds=5)
"""How long a key goes on signing unasked; retired keys verify for longer than this and a token's life together."""

_PLACE = {"table": "signing_key", "column": "sealed"}


@dataclass(frozen=True, slots=True)
class Signer:
    """One key, ready to sign for one issuer."""

    issuer: str
    kid: str
    key: ECKey | RSAKey
    algorithm: str = ALGORITHM

    def sign(self, access: "Access") -> str:
        """Return an access token as RFC 9068 describes it."""
        return self._signed({"jti": str(uuid4()), **access.claims()}, TOKEN_TYPE)

    def identify(self, access: "Access", access_token: str, claims: dict[str, Any]) -> str:
        """Return an ID token for an access token's client (OpenID Connect Core, 2); services do not take it."""
        half = hashlib.sha256(access_token.encode()).digest()[:16]
        said = {"aud": str(access.client_id), "sub": access.subject, "at_hash": half_url(half), **claims}
        times = {"iat": access.issued_at, "exp": access.issued_at + access.seconds}
        return self._signed({**said, **times}, "JWT")

    def _signed(self, said: dict[str, Any], kind: str) -> str:
        claims = {"iss": self.issuer, **said}
        header = {"alg": self.algorithm, "kid": self.kid, "typ": kind}
        return jws.serialize_compact(header, orjson.dumps(claims), self.key, algorithms=[self.algorithm])


@dataclass(frozen=True, slots=True)
class Access:
    """What an access token says: who, in which tenant, by which grant, may do what, from when for how long."""

    subject: str
    tenant_id: UUID
    grant_id: UUID
    permissions: frozenset[str]
    issued_at: int
    seconds: int
    client_id: UUID | None = None
    jkt: str | None = None
    resource: tuple[str, ...] = ()
    """What the token is for (RFC 8707); nothing: everything here."""
    owner: UUID | None = None
    """Who answers for the client that the token is for."""

    nonce: bool = False
    """Whether proofs that come with the token have to carry a nonce."""

    @property
    def scope(self) -> str:
        """The permissions as a scope (RFC 6749): names separated by spaces."""
        return " ".join(sorted(self.permissions))

    @property
    def audience(self) -> str | list[str]:
        """Whom the token is for: one name, or several."""
        return list(self.resource) if len(self.resource) > 1 else next(iter(self.resource), EVERYWHERE)

    def claims(self) -> dict[str, Any]:
        """Return the claims that differ from token to token."""
        own = self.subject.partition(":")[2] if self.subject.startswith("client:") else "regent"
        return {
            **({"cnf": {"jkt": self.jkt}} if self.jkt else {}),
            **({"dpop_nonce": True} if self.jkt and self.nonce else {}),
            **({"owner_id": str(self.owner)} if self.owner else {}),
            "aud": self.audience,
            "sub": self.subject,
            "client_id": str(self.client_id) if self.client_id else own,
            "tenant_id": str(self.tenant_id),
            "gid": str(self.grant_id),
            "scope": self.scope,
            "iat": self.issued_at,
            "nbf": self.issued_at,
            "exp": self.issued_at + self.seconds,
        }


class Signers:
    """Gives the signers of the active keys; the opened keys stay in memory."""

    def __init__(self, vault: Vault, issuer: str) -> None:
        self._vault = vault
        self._issuer = issuer
        self._latest: dict[str, tuple[Signer, datetime]] = {}

    def latest(self, now: datetime, algorithm: str = ALGORITHM) -> Signer | None:
        """Return the signer that was active a moment ago, if any."""
        signer, read_at = self._latest.get(algorithm, (None, now))
        return signer if timedelta(0) <= now - read_at < _REREAD else None

    def forget(self) -> None:
        """Read the active keys anew when they are asked for next."""
        self._latest.clear()

    async def make(self, tx: Transaction, algorithm: str = ALGORITHM) -> tuple[str, dict[str, Any], bytes]:
        """Make a key; returns its id, its public JWK and its sealed private part. The tenant is the system tenant."""
        kid = uuid4().hex
        key = await asyncio.to_thread(_generate, {"kid": kid, "use": "sig", "alg": algorithm}, algorithm)
        private = orjson.dumps(key.as_dict(private=True))
        return kid, key.as_dict(private=False), await self._vault.seal(tx, row=kid, secret=private, **_PLACE)

    async def active(self, tx: Transaction, algorithm: str = ALGORITHM) -> Signer:
        """Return the active key's signer. The tenant is the system tenant.

        Raises:
            Unavailable: there is no key yet.
        """
        row = await keys.active_key(tx, algorithm)
        if row is None:
            raise Unavailable("No signing key is ready yet; try again.", retry_after=1)
        signer, _ = self._latest.get(algorithm, (None, None))
        if signer is None or signer.kid != row["kid"]:
            private = await self._vault.open(tx, row=row["kid"], sealed=row["sealed"], **_PLACE)
            key = _KINDS[algorithm].import_key(orjson.loads(private))
            signer = Signer(self._issuer, row["kid"], key, algorithm)
        self._latest[algorithm] = signer, tx.context.now
        return signer


_KINDS: dict[str, type[ECKey | RSAKey]] = {ALGORITHM: ECKey, RSA: RSAKey}


def _generate(use: KeyParameters, algorithm: str) -> ECKey | RSAKey:
    if algorithm == RSA:
        return RSAKey.generate_key(_RSA_BITS, use, private=True)
    return ECKey.generate_key("P-256", use, private=True)
