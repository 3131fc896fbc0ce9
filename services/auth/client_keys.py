"""Public keys that clients publish at a URL of their own (`jwks_uri`): kept for minutes, asked for anew at an unknown key."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from services.auth.registration import keys_fault
from services.auth.upstream.web import UnreachableError, Web

_LOG = structlog.get_logger(__name__)
_NEVER = datetime.min.replace(tzinfo=UTC)
_KEPT = timedelta(minutes=10)
_BELIEVED = timedelta(hours=1)
"""How long a place that does not answer any more is believed what it said last."""

_PATIENCE = timedelta(seconds=10)
"""How long an unknown key, or a place that did not answer, sends nobody there again that went there for it."""

_MOST = 1000
_MAX_KEYS = 50
_OK = 200

Fetch = Callable[[str], Awaitable[dict[str, Any] | None]]
"""Returns what stands at a URL, or None where it cannot be had; judges the address and bounds time and size."""


@dataclass(slots=True)
class _Place:
    """What one URL answered last, and until when it is not asked again for what it does not have."""

    jwks: dict[str, Any] = field(default_factory=lambda: {"keys": []})
    read_at: datetime = _NEVER
    rests_until: datetime = _NEVER
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def suits(self, kid: str | None, now: datetime) -> bool:
        """Say whether what is kept is of these minutes and has the key."""
        known = kid is None or any(key.get("kid") == kid for key in self.jwks["keys"])
        return known and now - self.read_at < _KEPT


class ClientKeys:
    """Knows what clients publish; one for all of a process, since what it knows is public."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._places: OrderedDict[str, _Place] = OrderedDict()

    async def of(self, uri: str, kid: str | None, now: datetime) -> dict[str, Any] | None:
        """Return the key set at a URL; asked for anew where it is old or has no key `kid`, though not again and again.

        None where there is none that can be used.
        """
        place = self._place(uri)
        async with place.lock:
            if not place.suits(kid, now) and now >= place.rests_until:
                await self._read(place, uri, now)
        return place.jwks if now - place.read_at < _BELIEVED else None

    async def _read(self, place: _Place, uri: str, now: datetime) -> None:
        fresh = now - place.read_at < _KEPT
        found = await self._fetch(uri)
        fault = "is not there" if found is None else _fault(found)
        if found is not None and fault is None:
            place.jwks, place.read_at = found, now
        else:
            _LOG.warning("client_keys.unusable", uri=uri, fault=fault)
        if fresh or fault:
            place.rests_until = now + _PATIENCE

    def _place(self, uri: str) -> _Place:
        place = self._places.pop(uri, None) or _Place()
        while len(self._places) >= _MOST:
            self._places.popitem(last=False)
        self._places[uri] = place
        return place


def published(web: Web) -> Fetch:
    """Return what fetches over the web: the address judged, time and size bounded, nothing followed."""

    async def fetch(uri: str) -> dict[str, Any] | None:
        try:
            answer = await web.get(uri)
        except UnreachableError as error:
            _LOG.warning("client_keys.unreachable", error=str(error))
            return None
        return dict(answer.content) if answer.status == _OK else None

    return fetch


def _fault(found: dict[str, Any]) -> str | None:
    keys = found.get("keys")
    if isinstance(keys, list) and len(keys) > _MAX_KEYS:
        return f"holds more than {_MAX_KEYS} keys"
    return keys_fault(found)
