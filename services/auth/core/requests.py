"""What the core reads: parameters that were read before, strictly; and what it answers."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload, OAuth2Request


class Asked(OAuth2Request):
    """A request at one of our URLs; `repeated` names what was sent more than once."""

    def __init__(
        self,
        url: str,
        parameters: Mapping[str, str],
        *,
        method: str = "POST",
        headers: Mapping[str, str] | None = None,
        repeated: Iterable[str] = (),
    ) -> None:
        super().__init__(method, url, headers=headers)
        self.payload = BasicOAuth2Payload(dict(parameters))
        self.repeated = frozenset(repeated)

    @property
    def form(self) -> dict[str, str]:
        """What was sent."""
        sent: dict[str, str] = self.payload.data
        return sent


class Issued(dict[str, Any]):
    """A token answer that shows nothing of itself: the core writes what it issues to its debug log."""

    def __repr__(self) -> str:
        return "<tokens>"


@dataclass(slots=True)
class Answer:
    """What a client is answered: a document, or where its browser goes."""

    status: int
    content: Any
    headers: dict[str, str]
    location: str | None = None
