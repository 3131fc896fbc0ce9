"""Requests to addresses that a tenant chose: judged, bounded in time and size, never redirected, one connection each."""

import asyncio
import base64
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, quote_plus, urlencode, urlsplit

import h11
import orjson

from libs.common.outbound import OutboundPolicy, OutboundRefused, Resolver, resolve

LONGEST = 256 * 1024
_CHUNK = 64 * 1024
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_PORTS = {"https": 443, "http": 80}


class UnreachableError(Exception):
    """There is no usable answer; the text says why, and holds nothing that was sent or received."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A status and a JSON object."""

    status: int
    content: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Web:
    """Asks identity providers. `seconds` is for a whole request: name, connection, TLS and answer."""

    policy: OutboundPolicy
    seconds: float
    resolver: Resolver | None = None
    tls: ssl.SSLContext = field(default_factory=ssl.create_default_context)

    def fault(self, url: str) -> str | None:
        """Say why an address is not asked, by its text alone, or None where it may be."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port or _PORTS.get(parts.scheme, 0)
        except ValueError:
            return "cannot be read as a URL"
        if not url.isascii() or not url.isprintable() or " " in url or parts.fragment or parts.username is not None:
            return "holds characters, a fragment or a user that have no place in it"
        if not host or not port or parts.scheme not in _PORTS:
            return "is no https URL"
        if parts.scheme == "http" and not (host in _LOOPBACK and self.policy.permits(host, port)):
            return "is not https; plain http is for loopback addresses that the operator allows by host and port"
        return None

    async def get(self, url: str, *, bearer: str | None = None) -> Answer:
        """Return what stands at an address.

        Raises:
            UnreachableError: the address is refused, or there is no answer of a JSON object in time.
        """
        return await self._ask("GET", url, {"Authorization": f"Bearer {bearer}"} if bearer else {}, b"")

    async def post(self, url: str, form: Mapping[str, str], basic: tuple[str, str] | None = None) -> Answer:
        """Send a form, with a client's id and secret as RFC 6749, 2.3.1 wants them; raises as `get`."""
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        if basic is not None:
            pair = ":".join(quote_plus(part) for part in basic)
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        return await self._ask("POST", url, headers, urlencode(form).encode())

    async def _ask(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        if fault := self.fault(url):
            raise UnreachableError(f"the address {fault}")
        parts = urlsplit(url)
        try:
            async with asyncio.timeout(self.seconds):
                status, received = await self._exchange(parts, _request(method, parts, headers, body), body)
        except OutboundRefused as refused:
            raise UnreachableError(str(refused)) from None
        except TimeoutError:
            raise UnreachableError(f"{parts.hostname} did not answer within {self.seconds:g} seconds") from None
        except ssl.SSLError:
            raise UnreachableError(f"{parts.hostname} has no certificate that is trusted for this name") from None
        except (OSError, h11.ProtocolError, ValueError):
            raise UnreachableError(f"{parts.hostname} cannot be reached, or does not speak HTTP") from None
        return Answer(status, _object(parts, received))

    async def _exchange(self, parts: SplitResult, request: h11.Request, body: bytes) -> tuple[int, bytes]:
        secure, host = parts.scheme == "https", parts.hostname or ""
        port = parts.port or _PORTS[parts.scheme]
        to = await asyncio.to_thread(resolve, self.policy, host, port, self.resolver)
        context, name = (self.tls, host) if secure else (None, None)
        reader, writer = await asyncio.open_connection(to.address, to.port, ssl=context, server_hostname=name)
        try:
            talk = h11.Connection(h11.CLIENT)
            sent = (talk.send(request), talk.send(h11.Data(body)), talk.send(h11.EndOfMessage()))
            writer.write(b"".join(part for part in sent if part))
            await writer.drain()
            return await _answer(talk, reader, host)
        finally:
            writer.transport.abort()


def _request(method: str, parts: SplitResult, headers: Mapping[str, str], body: bytes) -> h11.Request:
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    own = {"Host": parts.netloc, "Accept": "application/json", "Accept-Encoding": "identity", "Connection": "close"}
    length = {"Content-Length": str(len(body))} if body else {}
    return h11.Request(method=method, target=target, headers=list({**own, **headers, **length}.items()))


async def _answer(talk: h11.Connection, reader: asyncio.StreamReader, host: str) -> tuple[int, bytes]:
    status, received = 0, bytearray()
    while True:
        event = talk.next_event()
        if event is h11.NEED_DATA:
            talk.receive_data(await reader.read(_CHUNK))
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            received += event.data
            if len(received) > LONGEST:
                raise UnreachableError(f"{host} answers more than {LONGEST // 1024} KiB")
        elif not isinstance(event, h11.InformationalResponse):
            return status, bytes(received)


def _object(parts: SplitResult, received: bytes) -> Mapping[str, Any]:
    try:
        content = orjson.loads(received)
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise UnreachableError(f"{parts.hostname} does not answer with a JSON object")
    return content
