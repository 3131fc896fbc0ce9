"""Where connections may go: an address is resolved once, judged, and the connection goes to the address judged."""

import ipaddress
import socket
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolver = Callable[[str, int], Sequence[str]]
"""Turns a host and a port into numeric addresses, in order of preference; raises OSError when there is none."""


class OutboundRefused(Exception):  # noqa: N818 - a refusal is not an error
    """The policy does not let a connection go there."""


@dataclass(frozen=True, slots=True)
class OutboundPolicy:
    """What the operator allows and what is ours.

    `allowed` are exact `host:port` entries (lower case) that may be reached whatever their addresses are. `own_ports`
    are this installation's, refused on `own_addresses`, the public addresses of its machines.
    """

    allowed: frozenset[str] = frozenset()
    own_ports: frozenset[int] = frozenset()
    own_addresses: frozenset[str] = frozenset()

    @classmethod
    def read(cls, text: str) -> "OutboundPolicy":
        """Return the policy of an operator who allows these `host:port` entries, separated by commas."""
        entries = (part.strip().lower() for part in text.split(","))
        return cls(allowed=frozenset(entry for entry in entries if entry))

    def permits(self, host: str, port: int) -> bool:
        """Return whether the operator named this very host and port."""
        return f"{host.lower().rstrip('.')}:{port}" in self.allowed


@dataclass(frozen=True, slots=True)
class Destination:
    """An address that was judged; `host` stays the name for TLS and logs."""

    host: str
    address: str
    port: int


def choose(policy: OutboundPolicy, host: str, port: int, addresses: Collection[str]) -> Destination:
    """Return the first of the resolved addresses, if every one of them is allowed.

    All are judged: a name that leads to a public and to a private address is an attack, not a choice.

    Raises:
        OutboundRefused: with the host and the reason, never with the address.
    """
    if not addresses:
        raise OutboundRefused(f"{host} has no address.")
    if not policy.permits(host, port):
        for text in addresses:
            reason = _objection(policy, _unwrapped(ipaddress.ip_address(text.partition("%")[0])), port)
            if reason:
                raise OutboundRefused(f"{host}:{port} is refused: {reason}. An operator can allow it.")
    return Destination(host, next(iter(addresses)), port)


def resolve(policy: OutboundPolicy, host: str, port: int, resolver: Resolver | None = None) -> Destination:
    """Resolve `host` once and judge what came back; connect to the result's `address`.

    Raises:
        OutboundRefused: the policy says no. OSError: the name has no address.
    """
    return choose(policy, host, port, (resolver or system_resolver)(host, port))


def system_resolver(host: str, port: int) -> list[str]:
    """Ask the system's resolver; numbers in any notation come back in canonical form, so they are judged as such."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _unwrapped(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 one carries (mapped, NAT64, 6to4, Teredo, compatible), else the address."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped:
        return address.ipv4_mapped
    if address.sixtofour:
        return address.sixtofour
    if address.teredo:
        return address.teredo[1]
    if address in _NAT64 or address in _COMPATIBLE:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_COMPATIBLE = ipaddress.IPv6Network("::/96")


def _objection(policy: OutboundPolicy, address: Address, port: int) -> str | None:
    if address.is_loopback or address.is_unspecified:
        return "it is this machine itself"
    if address.is_link_local:
        return "it is a link-local address, such as a cloud's metadata service"
    if not address.is_global or address.is_multicast or address.is_reserved:
        return "it is a private or special address"
    if port in policy.own_ports and str(address) in policy.own_addresses:
        return "it is a port of this installation"
    return None
