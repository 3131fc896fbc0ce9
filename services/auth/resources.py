"""Resource indicators (RFC 8707): what a client's token is meant for, never more than its user allowed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from libs.common.identity import audience
from services.auth.protocol import OAuthError

PARAMETER = "resource"
"""The one parameter that may be repeated; its values are kept joined by spaces, which no URI holds."""

_MOST = 10


@dataclass(frozen=True, slots=True)
class Target:
    """The resources that a request names, for the API of an issuer."""

    named: tuple[str, ...]
    issuer: str

    @classmethod
    def read(cls, parameters: Mapping[str, str], issuer: str) -> "Target":
        """Read what a request names.

        Raises:
            OAuthError: a resource is not ours, or there are too many.
        """
        named = tuple(dict.fromkeys(parameters.get(PARAMETER, "").split()))
        try:
            for one in named:
                audience.path_of(one, issuer)
        except ValueError:
            raise _refusal() from None
        if len(named) > _MOST:
            raise _refusal()
        return cls(named, issuer)

    @property
    def resource(self) -> list[str] | None:
        """What is named, to be kept; None where nothing is."""
        return list(self.named) or None

    def within(self, granted: Sequence[str] | None) -> tuple[str, ...]:
        """Return what a token is for: what is named, or all that was granted where nothing is.

        Raises:
            OAuthError: something is named that was not granted.
        """
        if not granted or not self.named:
            return self.named or tuple(granted or ())
        allowed = audience.paths_of(granted, self.issuer)
        wanted = [audience.path_of(one, self.issuer) for one in self.named]
        if allowed is not None and not all(path in allowed for path in wanted):
            raise _refusal()
        return self.named


def joined(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return parameters by name, empty ones left out; resources that stand beside each other are joined."""
    found: dict[str, str] = {}
    for name, value in pairs:
        if value:
            found[name] = f"{found[name]} {value}" if name == PARAMETER and name in found else value
    return found


def _refusal() -> OAuthError:
    return OAuthError("invalid_target", "the resource is none of ours, or more than was granted")
