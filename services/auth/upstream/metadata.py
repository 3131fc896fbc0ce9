"""What an identity provider says of itself (OpenID Connect Discovery), read strictly: what is wrong is named."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from services.auth.upstream.id_tokens import ALGORITHMS

PATH = "/.well-known/openid-configuration"
_BASIC, _POST = "client_secret_basic", "client_secret_post"
_ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")
_MAX_URL = 2000

Fault = Callable[[str], str | None]
"""Says why an address cannot be used."""


class UnsuitableError(Exception):
    """The provider cannot be used; `faults` say what its administrator has to change."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


@dataclass(frozen=True, slots=True)
class Metadata:
    """A provider that can be used. `names_itself`: its answers carry `iss` (RFC 9207)."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None
    algorithms: tuple[str, ...]
    basic: bool
    names_itself: bool


def discovery_url(issuer: str) -> str:
    """Return where an issuer describes itself."""
    return issuer.rstrip("/") + PATH


def read(issuer: str, said: Mapping[str, Any], fault: Fault) -> Metadata:
    """Return what is needed of a discovery document.

    Raises:
        UnsuitableError: names everything that is wrong.
    """
    faults = [*_identity_faults(issuer, said), *_endpoint_faults(said, fault), *_ability_faults(said)]
    if faults:
        raise UnsuitableError(faults)
    userinfo = said.get("userinfo_endpoint")
    return Metadata(
        issuer=issuer,
        authorization_endpoint=said["authorization_endpoint"],
        token_endpoint=said["token_endpoint"],
        jwks_uri=said["jwks_uri"],
        userinfo_endpoint=userinfo if isinstance(userinfo, str) and _usable(userinfo, fault) is None else None,
        algorithms=_algorithms(said),
        basic=_BASIC in _list(said, "token_endpoint_auth_methods_supported", [_BASIC]),
        names_itself=said.get("authorization_response_iss_parameter_supported") is True,
    )


def _identity_faults(issuer: str, said: Mapping[str, Any]) -> Iterator[str]:
    if said.get("issuer") != issuer:
        yield "calls itself by another issuer: enter exactly what stands under `issuer` in its discovery document"


def _endpoint_faults(said: Mapping[str, Any], fault: Fault) -> Iterator[str]:
    for name in _ENDPOINTS:
        url = said.get(name)
        reason = _usable(url, fault) if isinstance(url, str) else "is missing"
        if reason:
            yield f"its `{name}` {reason}"


def _usable(url: str, fault: Fault) -> str | None:
    return "is too long" if len(url) > _MAX_URL else fault(url)


def _ability_faults(said: Mapping[str, Any]) -> Iterator[str]:
    if "S256" not in _list(said, "code_challenge_methods_supported", []):
        yield "does not announce PKCE with S256 (`code_challenge_methods_supported`): have it switched on there"
    if "code" not in _list(said, "response_types_supported", ["code"]):
        yield "does not give authorization codes (`response_types_supported`)"
    if not _algorithms(said):
        yield f"signs ID tokens by none of {', '.join(ALGORITHMS)}"
    if not {_BASIC, _POST} & set(_list(said, "token_endpoint_auth_methods_supported", [_BASIC])):
        yield f"takes client secrets neither by {_BASIC} nor by {_POST}"


def _algorithms(said: Mapping[str, Any]) -> tuple[str, ...]:
    offered = _list(said, "id_token_signing_alg_values_supported", ["RS256"])
    return tuple(name for name in ALGORITHMS if name in offered)


def _list(said: Mapping[str, Any], name: str, default: list[str]) -> list[Any]:
    value = said.get(name, default)
    return value if isinstance(value, list) else []
