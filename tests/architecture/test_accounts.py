"""The bus server's accounts are exactly what the topology declares; `tests/bus` tries the same on a running server."""

import json
from typing import Any

import pytest

from libs.common.bus.nats_config import accounts, server_config
from libs.common.bus.topology import IDENTITY_SUBJECTS, PARK, PROVISIONER, SYSTEM, TOPOLOGY
from tests.architecture.source import SERVICES

KEYS = {user: f"U{user.upper()}" for user in TOPOLOGY.users}
MADE: dict[str, Any] = dict(accounts(TOPOLOGY, KEYS))


def user(account: str) -> dict[str, Any]:
    """Return the one user of an account."""
    (found,) = MADE[account]["users"]
    return dict(found)


def test_there_is_an_account_for_each_service() -> None:
    """Six services, the streams, the dead-letter worker and the server itself: an account each, with one user."""
    assert {service.name for service in TOPOLOGY.services} == set(SERVICES)
    assert MADE.keys() == {"BUS", PARK.upper(), "$SYS", *(service.upper() for service in SERVICES)}
    assert {account: user(account)["nkey"] for account in MADE} == {
        "BUS": KEYS[PROVISIONER],
        PARK.upper(): KEYS[PARK],
        "$SYS": KEYS[SYSTEM],
        **{service.upper(): KEYS[service] for service in SERVICES},
    }


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_speaks_as_itself_only(service: str) -> None:
    """Of events, work and dead letters a service may publish its own; auth alone writes identities."""
    allowed = user(service.upper())["permissions"]["publish"]["allow"]
    spoken = {subject for subject in allowed if subject.startswith(("evt.", "work.", "dlq.", "$KV."))}
    own = {f"evt.*.{service}.>", f"work.{service}.>", f"dlq.{service}.>"}
    assert spoken == own | ({IDENTITY_SUBJECTS} if service == "auth" else set())


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_hears_its_answers_only(service: str) -> None:
    """A service listens to its own inbox and to the requests that it answers, to no event directly."""
    heard = set(user(service.upper())["permissions"]["subscribe"]["allow"])
    answered = {f"{request.subject} {service}" for request in TOPOLOGY.requests if request.answerer == service}
    assert heard == {f"_INBOX_{service}.>"} | answered


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_manages_no_stream(service: str) -> None:
    """No service creates, changes, deletes or purges a stream or a consumer."""
    allowed = user(service.upper())["permissions"]["publish"]["allow"]
    forbidden = ("CREATE", "UPDATE", "DELETE", "PURGE", "RESTORE", "LEADER")
    assert [subject for subject in allowed if any(word in subject for word in forbidden)] == []
    assert ">" not in allowed
    assert "*" not in allowed


def test_exports_name_their_account() -> None:
    """What the streams' account exports, it exports by name: nothing is open to every account."""
    assert all(export["accounts"] for export in MADE["BUS"]["exports"])
    for service in SERVICES:
        imported = {
            source["service"]["subject"]
            for source in MADE[service.upper()]["imports"]
            if source["service"]["account"] == "BUS"
        }
        granted = {export["service"] for export in MADE["BUS"]["exports"] if service.upper() in export["accounts"]}
        assert imported == granted


def test_messages_are_synced_before_they_are_acknowledged() -> None:
    """A power cut loses no acknowledged event: JetStream syncs every write."""
    config = json.loads(server_config(TOPOLOGY, KEYS, host="127.0.0.1", port=4222, store="/data"))
    assert config["jetstream"]["sync_interval"] == "always"
