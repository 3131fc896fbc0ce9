"""What the bus's configuration lets a service do that the topology does not mean, in words."""

from collections.abc import Iterator, Mapping
from typing import Any

from libs.common.bus.topology import TOPOLOGY

TENANT = "00000000-0000-4000-8000-00000000000a"
SERVICES = [service.name for service in TOPOLOGY.services]


def reaches(pattern: str, subject: str) -> bool:
    """Say whether a subject pattern of NATS covers a subject: `*` one token, `>` the rest."""
    wanted, given = pattern.split(" ", maxsplit=1)[0].split("."), subject.split(".")
    for place, token in enumerate(wanted):
        if token == ">":
            return len(given) > place
        if place >= len(given) or token not in ("*", given[place]):
            return False
    return len(wanted) == len(given)


def account_faults(accounts: Mapping[str, Any]) -> set[str]:
    """Return every way in which a service's account reaches what is another's: by permission, import or export."""
    found = set()
    for name in SERVICES:
        account = accounts[name.upper()]
        permissions = account["users"][0]["permissions"]
        imported = [item["service"]["subject"] for item in account["imports"]]
        exported = [e["service"] for e in accounts["BUS"]["exports"] if name.upper() in e["accounts"]]
        for subject in _written_by_others(name):
            for way, patterns in (
                ("publish", permissions["publish"]["allow"]),
                ("import", imported),
                ("be exported", exported),
            ):
                if any(reaches(pattern, subject) for pattern in patterns):
                    found.add(f"{name} may {way} {subject}")
        for subject in _heard_by_others(name):
            if any(reaches(pattern, subject) for pattern in permissions["subscribe"]["allow"]):
                found.add(f"{name} may subscribe to {subject}")
    return found


def _written_by_others(name: str) -> Iterator[str]:
    for other in SERVICES:
        if other != name:
            yield f"evt.{TENANT}.{other}.thing.done"
            yield from (f"work.{other}.poke", f"dlq.{other}.EVT", f"$JS.ACK.EVT.{other}.1.1.1.1.0")
            yield from (f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{other}" for stream in ("EVT", "WORK"))
    yield from ("$JS.API.CONSUMER.CREATE.EVT.spy", "$JS.API.STREAM.MSG.GET.EVT", "$JS.API.DIRECT.GET.EVT")
    if name != "auth":
        yield "$KV.identity.key.k1"


def _heard_by_others(name: str) -> Iterator[str]:
    for other in SERVICES:
        yield from (f"evt.{TENANT}.{other}.thing.done", f"work.{other}.poke")
        if other != name:
            yield f"_INBOX_{other}.answer"
    yield "$KV.identity.revoked.x"
