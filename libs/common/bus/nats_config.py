"""The NATS server's configuration, generated from the topology: one account per service, the streams in BUS.

What an account may reach is what BUS exports to it by name; the users' permissions say the same once more.
JetStream's API is always imported under a local prefix: an account without JetStream answers `$JS.API.>` itself,
so a request under that name would be answered twice.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from libs.common.bus.topology import (
    API_PREFIX,
    DEAD_LETTERS,
    EVENTS,
    IDENTITY_STREAM,
    PARK,
    PARKED,
    PROVISIONER,
    RESPONSE_THRESHOLD,
    SYSTEM,
    WORK,
    Durable,
    Request,
    Service,
    Topology,
)

Json = dict[str, object]
_API = "$JS.API"


@dataclass(frozen=True, slots=True)
class Grant:
    """One subject of BUS that one account may send to."""

    subject: str
    streamed: bool = False

    @property
    def local(self) -> str:
        """The subject's name inside the account."""
        return self.subject.replace(_API, API_PREFIX, 1) if self.subject.startswith(f"{_API}.") else self.subject

    def export(self, account: str) -> Json:
        """Return the export in BUS."""
        exported: Json = {"service": self.subject, "accounts": [account]}
        if self.streamed:
            return {**exported, "response_type": "stream", "response_threshold": RESPONSE_THRESHOLD}
        return {**exported, "response_type": "single"}

    def imported(self) -> Json:
        """Return the import in the account, under the local name where that differs."""
        source: Json = {"service": {"account": "BUS", "subject": self.subject}}
        return source if self.local == self.subject else {**source, "to": self.local}


def server_config(
    topology: Topology, public_keys: Mapping[str, str], *, host: str, port: int, store: str, name: str = "regent"
) -> str:
    """Return the text of a configuration file for one server; `public_keys` are nkeys by user name."""
    config = {
        "server_name": name,
        "host": host,
        "port": port,
        "max_payload": 1_048_576,
        "write_deadline": "10s",
        "jetstream": {"store_dir": store, "sync_interval": "always"},
        "accounts": accounts(topology, public_keys),
        "system_account": "$SYS",
    }
    return json.dumps(config, indent=2)


def accounts(topology: Topology, public_keys: Mapping[str, str]) -> dict[str, Json]:
    """Return the `accounts` section.

    Raises:
        KeyError: a user of the topology has no key.
    """
    made = {service.name.upper(): _service(topology, service, public_keys) for service in topology.services}
    return {
        "BUS": _bus(topology, public_keys[PROVISIONER]),
        **made,
        PARK.upper(): _parking(public_keys[PARK]),
        "$SYS": {"users": [{"nkey": public_keys[SYSTEM]}]},
    }


def grants(service: Service) -> tuple[Grant, ...]:
    """Return everything in BUS that the service may send to."""
    published = (Grant(subject) for subject in service.publishes)
    read = (grant for durable in service.durables for grant in _consuming(durable))
    checks = (Grant(f"{_API}.STREAM.INFO.{EVENTS}"),) if service.checks_stream else ()
    return (*published, *read, Grant(f"{_API}.DIRECT.GET.{IDENTITY_STREAM}", streamed=True), *checks)


def parking_grants() -> tuple[Grant, ...]:
    """Return what the dead-letter worker may send to: it copies messages away and removes them from the queue."""
    copies = (Grant(f"{_API}.DIRECT.GET.{stream}", streamed=True) for stream in (EVENTS, WORK, DEAD_LETTERS))
    return (*_consuming(PARKED), *copies, Grant(f"{_API}.STREAM.MSG.DELETE.{WORK}"), Grant("dlq.>"))


def _consuming(durable: Durable) -> Iterator[Grant]:
    name = f"{durable.stream}.{durable.name}"
    yield Grant(f"{_API}.CONSUMER.MSG.NEXT.{name}", streamed=True)
    yield Grant(f"$JS.ACK.{name}.>")
    yield Grant(f"{_API}.CONSUMER.INFO.{name}")
    if durable.stream == EVENTS:
        yield Grant(f"{_API}.CONSUMER.RESET.{name}")


def _bus(topology: Topology, key: str) -> Json:
    """Return the account of the streams; whoever sits in it can forge, so its only user is the provisioner."""
    exports = [grant.export(service.name.upper()) for service in topology.services for grant in grants(service)]
    exports += [grant.export(PARK.upper()) for grant in parking_grants()]
    return {"jetstream": "enabled", "users": [{"nkey": key}], "exports": _merged(exports)}


def _merged(exports: Iterable[Json]) -> list[Json]:
    """Join exports of the same subject: a subject is exported once, to all accounts that may use it."""
    merged: dict[str, Json] = {}
    for export in exports:
        known = merged.setdefault(str(export["service"]), {**export, "accounts": []})
        known["accounts"] = [*_names(known), *_names(export)]
    return list(merged.values())


def _names(export: Json) -> list[str]:
    names = export["accounts"]
    return names if isinstance(names, list) else []


def _service(topology: Topology, service: Service, public_keys: Mapping[str, str]) -> Json:
    asked, answered = topology.asks(service), topology.answers(service)
    allowed = [grant.local for grant in grants(service)] + [request.subject for request in asked]
    listened = [f"{service.inbox}.>"] + [f"{request.subject} {service.name}" for request in answered]
    permissions: Json = {"publish": {"allow": allowed}, "subscribe": {"allow": listened}}
    if answered:
        permissions["allow_responses"] = {"max": 1, "expires": "10s"}
    return {
        "users": [{"nkey": public_keys[service.name], "permissions": permissions}],
        "exports": [_answer(request) for request in answered],
        "imports": [grant.imported() for grant in grants(service)] + [_question(request) for request in asked],
    }


def _answer(request: Request) -> Json:
    return {"service": request.subject, "response_type": "single", "accounts": [request.asker.upper()]}


def _question(request: Request) -> Json:
    return {"service": {"account": request.answerer.upper(), "subject": request.subject}}


def _parking(key: str) -> Json:
    allowed = [grant.local for grant in parking_grants()]
    permissions = {"publish": {"allow": allowed}, "subscribe": {"allow": [f"_INBOX_{PARK}.>"]}}
    return {
        "users": [{"nkey": key, "permissions": permissions}],
        "imports": [grant.imported() for grant in parking_grants()],
    }
