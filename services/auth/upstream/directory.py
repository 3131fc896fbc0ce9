"""What identity providers publish, kept for a while: their description and their keys."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

from services.auth.upstream import metadata
from services.auth.upstream.metadata import Metadata, UnsuitableError
from services.auth.upstream.web import UnreachableError, Web

KEPT = timedelta(minutes=10)
PATIENCE = timedelta(seconds=30)
"""How long an unknown key id sends nobody to a provider again that was just asked for one."""

_MOST = 500
_MAX_KEYS = 50
_OK = 200
_Kept = TypeVar("_Kept")
Keys = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class _Entry(Generic[_Kept]):
    value: _Kept
    at: datetime


class _Shelf(Generic[_Kept]):
    """Keeps a number of values for a time; the oldest go first."""

    def __init__(self) -> None:
        self._entries: OrderedDict[str, _Entry[_Kept]] = OrderedDict()

    def get(self, name: str, now: datetime, life: timedelta) -> _Kept | None:
        """Return what was put there within `life`."""
        entry = self._entries.get(name)
        return entry.value if entry is not None and timedelta(0) <= now - entry.at < life else None

    def put(self, name: str, value: _Kept, now: datetime) -> _Kept:
        """Keep a value."""
        self._entries.pop(name, None)
        while len(self._entries) >= _MOST:
            self._entries.popitem(last=False)
        self._entries[name] = _Entry(value, now)
        return value


class Directory:
    """Knows identity providers by their issuer; one for all tenants of a process, since what it knows is public."""

    def __init__(self, web: Web) -> None:
        self.web = web
        self._described: _Shelf[Metadata] = _Shelf()
        self._keys: _Shelf[Keys] = _Shelf()
        self._sought: _Shelf[bool] = _Shelf()

    async def discover(self, issuer: str, now: datetime) -> Metadata:
        """Ask a provider what it is now.

        Raises:
            UnreachableError: there is no usable answer. UnsuitableError: it cannot be used as it is.
        """
        if fault := self.web.fault(issuer):
            raise UnsuitableError([fault])
        answer = await self.web.get(metadata.discovery_url(issuer))
        if answer.status != _OK:
            raise UnreachableError(f"its discovery document is answered with status {answer.status}")
        return self._described.put(issuer, metadata.read(issuer, answer.content, self.web.fault), now)

    async def described(self, issuer: str, now: datetime) -> Metadata:
        """Return what a provider said of itself in the last minutes; raises as `discover`."""
        return self._described.get(issuer, now, KEPT) or await self.discover(issuer, now)

    async def keys(self, provider: Metadata, kid: str | None, now: datetime) -> Keys:
        """Return a provider's keys, asked for anew where none has the id `kid`, though not again and again.

        Raises:
            UnreachableError: there is no usable answer.
        """
        place = provider.jwks_uri
        kept = self._keys.get(place, now, KEPT)
        if kept is not None and (kid is None or any(key.get("kid") == kid for key in kept)):
            return kept
        if kept is not None and self._sought.get(place, now, PATIENCE):
            return kept
        if kept is not None:
            self._sought.put(place, value=True, now=now)
        return self._keys.put(place, await self._fetched(place), now)

    async def _fetched(self, place: str) -> Keys:
        answer = await self.web.get(place)
        found = answer.content.get("keys")
        if answer.status != _OK or not isinstance(found, list) or len(found) > _MAX_KEYS:
            raise UnreachableError("its keys cannot be read")
        return [key for key in found if isinstance(key, dict)]
