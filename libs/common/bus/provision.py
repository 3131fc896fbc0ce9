"""Create or update the streams, the durables and the identity bucket that the topology declares.

Only the provisioner may do this; running it again changes nothing. It speaks JetStream's own JSON, so that every
setting of the server can be named here whether or not the client knows it.
"""

import json
from dataclasses import dataclass
from typing import Any

from nats.aio.client import Client

from libs.common.bus.topology import (
    ADVISORIES,
    DEAD_LETTERS,
    EVENTS,
    IDENTITY_STREAM,
    IDENTITY_SUBJECTS,
    PARKED,
    WORK,
    Durable,
    Topology,
)

_SECOND = 1_000_000_000
_DAY = 86_400 * _SECOND
_NO_STREAM, _NO_CONSUMER = 10059, 10014
_ADVISED = ("MAX_DELIVERIES", "MSG_TERMINATED")


@dataclass(frozen=True, slots=True)
class BusError(Exception):
    """JetStream refused a request; `code` is its own error code."""

    code: int
    description: str

    def __str__(self) -> str:
        return f"{self.description} ({self.code})"


def streams(replicas: int = 1) -> tuple[dict[str, Any], ...]:
    """Return the configuration of every stream; production runs three replicas."""
    base = {"storage": "file", "num_replicas": replicas, "discard": "old", "allow_direct": True}
    events = {"subjects": ["evt.>"], "retention": "limits", "max_age": 90 * _DAY, "deny_delete": True}
    exact = {"duplicate_window": 600 * _SECOND, "allow_atomic": True}
    advised = [f"$JS.EVENT.ADVISORY.CONSUMER.{kind}.>" for kind in _ADVISED]
    return (
        {**base, **events, **exact, "name": EVENTS, "compression": "s2"},
        {**base, **exact, "name": WORK, "subjects": ["work.>"], "retention": "workqueue"},
        {**base, "name": ADVISORIES, "subjects": advised, "retention": "limits", "max_age": 7 * _DAY},
        {**base, "name": DEAD_LETTERS, "subjects": ["dlq.>"], "retention": "limits", "max_age": 30 * _DAY},
        {**base, "name": IDENTITY_STREAM, "subjects": [IDENTITY_SUBJECTS], "max_msgs_per_subject": 1}
        | {"allow_msg_ttl": True, "retention": "limits", "deny_delete": True},
    )


def durable(declared: Durable) -> dict[str, Any]:
    """Return the configuration of one durable: pull, explicit acknowledgement, never given up by the server."""
    config: dict[str, Any] = {
        "name": declared.name,
        "durable_name": declared.name,
        "deliver_policy": "all",
        "ack_policy": "explicit",
        "ack_wait": 30 * _SECOND,
        "max_ack_pending": 1000,
        "max_deliver": -1,
        "replay_policy": "instant",
    }
    return {**config, "filter_subjects": list(declared.filters)} if declared.filters else config


async def provision(client: Client, topology: Topology, *, replicas: int = 1) -> None:
    """Bring the server to what the topology declares; `client` is connected as the provisioner.

    Raises:
        BusError: the server refuses a change, for example of a setting that cannot change later.
    """
    for config in streams(replicas):
        await _put_stream(client, config)
    for declared in (*(d for service in topology.services for d in service.durables), PARKED):
        await _put_durable(client, declared)


async def _put_stream(client: Client, config: dict[str, Any]) -> None:
    name = config["name"]
    verb = "UPDATE" if await _exists(client, f"STREAM.INFO.{name}", _NO_STREAM) else "CREATE"
    await _ask(client, f"STREAM.{verb}.{name}", config)


async def _put_durable(client: Client, declared: Durable) -> None:
    body = {"stream_name": declared.stream, "config": durable(declared), "action": ""}
    await _ask(client, f"CONSUMER.CREATE.{declared.stream}.{declared.name}", body)


async def _exists(client: Client, question: str, absent: int) -> bool:
    try:
        await _ask(client, question, None)
    except BusError as refused:
        if refused.code != absent:
            raise
        return False
    return True


async def _ask(client: Client, verb: str, body: dict[str, Any] | None) -> dict[str, Any]:
    payload = b"" if body is None else json.dumps(body).encode()
    answer: dict[str, Any] = json.loads((await client.request(f"$JS.API.{verb}", payload, timeout=10)).data)
    if error := answer.get("error"):
        raise BusError(error.get("err_code", 0), error.get("description", "refused"))
    return answer
