"""A code of an identity provider becomes a person there (OpenID Connect Core, 3.1.3)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from libs.common.database.transaction import Row
from libs.common.errors import Invalid
from services.auth import domain
from services.auth.upstream import id_tokens
from services.auth.upstream.claimed import named
from services.auth.upstream.directory import Directory
from services.auth.upstream.id_tokens import BadIdTokenError, Expected
from services.auth.upstream.metadata import Metadata
from services.auth.upstream.terms import TWO_FACTORS

_OK = 200
_MAX_NAME = 200


class RejectedError(Exception):
    """What the provider answers proves nothing; the text says which check failed and holds nothing of the answer."""


@dataclass(frozen=True, slots=True)
class Registered:
    """We, as the provider knows us."""

    client_id: str
    secret: str
    redirect_uri: str


@dataclass(frozen=True, slots=True)
class Redemption:
    """A code, and what binds it to the browser that brought it."""

    code: str
    verifier: str
    nonce: str


@dataclass(frozen=True, slots=True)
class Arrived:
    """Somebody at a provider. `email` is normalised, and there only where the provider has verified it."""

    subject: str
    email: str | None
    name: str | None
    several_factors: bool
    auth_time: datetime | None
    claimed: frozenset[str] = frozenset()
    """What the claim says that the tenant's terms give roles for."""


async def redeem(
    directory: Directory,
    provider: Metadata,
    us: Registered,
    brought: Redemption,
    terms: Row,
    now: datetime,
) -> Arrived:
    """Exchange a code and return who it is.

    Raises:
        UnreachableError: the provider gives no usable answer. RejectedError: its answer does not hold.
    """
    tokens = await _tokens(directory, provider, us, brought)
    access, id_token = tokens.get("access_token"), tokens.get("id_token")
    if not isinstance(access, str) or not isinstance(id_token, str):
        raise RejectedError("tokens")
    expected = Expected(provider.issuer, us.client_id, brought.nonce, provider.algorithms, access)
    try:
        keys = await directory.keys(provider, id_tokens.key_id(id_token), now)
        claims = id_tokens.verified(id_token, keys, expected, now)
        auth_time = id_tokens.moment(claims, "auth_time") if "auth_time" in claims else None
    except BadIdTokenError as error:
        raise RejectedError(str(error)) from None
    about = (
        claims
        if {"email", terms["roles_claim"] or "email"} <= claims.keys()
        else await _userinfo(directory, provider, access, claims)
    )
    amr, acr = claims.get("amr"), claims.get("acr")
    several = (isinstance(amr, list) and TWO_FACTORS in amr) or (isinstance(acr, str) and acr in terms["acr_values"])
    claimed = named({**about, **claims}, terms["roles_claim"])
    return Arrived(claims["sub"], _verified_email(about), _name(about), several, auth_time, claimed)


async def _tokens(directory: Directory, provider: Metadata, us: Registered, brought: Redemption) -> Mapping[str, Any]:
    form = {
        "grant_type": "authorization_code",
        "code": brought.code,
        "redirect_uri": us.redirect_uri,
        "code_verifier": brought.verifier,
    }
    if provider.basic:
        answer = await directory.web.post(provider.token_endpoint, form, (us.client_id, us.secret))
    else:
        own = {"client_id": us.client_id, "client_secret": us.secret}
        answer = await directory.web.post(provider.token_endpoint, {**form, **own})
    if answer.status != _OK:
        known = ("invalid_grant", "invalid_client")
        error = answer.content.get("error")
        raise RejectedError(f"token-{error}" if error in known else "token-refused")
    return answer.content


async def _userinfo(
    directory: Directory, provider: Metadata, access_token: str, claims: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Return what the provider says where its ID token names no address; of another person nothing is used (5.3.4)."""
    if provider.userinfo_endpoint is None:
        return claims
    answer = await directory.web.get(provider.userinfo_endpoint, bearer=access_token)
    if answer.status != _OK or answer.content.get("sub") != claims["sub"]:
        return claims
    return answer.content


def _verified_email(about: Mapping[str, Any]) -> str | None:
    email = about.get("email")
    if not isinstance(email, str) or about.get("email_verified") is not True:
        return None
    try:
        return domain.normalise_email(email)
    except Invalid:
        return None


def _name(about: Mapping[str, Any]) -> str | None:
    name = about.get("name")
    plain = " ".join(name.split()) if isinstance(name, str) else ""
    return plain if plain.isprintable() and 0 < len(plain) <= _MAX_NAME else None
