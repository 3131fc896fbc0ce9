"""What the topology does not declare is refused, by the accounts alone and by the permissions before them."""

import asyncio
import json
from pathlib import Path

import pytest
from nats.aio.client import Client
from nats.errors import Error as NatsError

from deploy.local.files import write_secret
from deploy.local.nats import Nats, prepare
from deploy.local.processes import free_port
from deploy.local.supervisor import Supervisor
from libs.common.bus.topology import API_PREFIX, PARK, PROVISIONER, TOPOLOGY

SERVICES = [service.name for service in TOPOLOGY.services]
TENANT = "00000000-0000-0000-0000-000000000000"
CONSUMER = {"config": {"name": "spy", "ack_policy": "explicit"}}


@pytest.fixture(scope="module", params=["with permissions", "accounts alone"])
async def server(
    request: pytest.FixtureRequest, supervisor: Supervisor, tmp_path_factory: pytest.TempPathFactory
) -> Nats:
    """Return a server as configured, and one whose users have no permissions, so that only the accounts hold."""
    home = tmp_path_factory.mktemp("nats")
    made = prepare(home, home / "secrets", free_port())
    if request.param == "accounts alone":
        write_secret(made.config, json.dumps(_without_permissions(made.config)))
    await supervisor.start(made.program(f"nats {request.param}"))
    await made.provision()
    return made


def _without_permissions(config: Path) -> dict[str, object]:
    content: dict[str, object] = json.loads(config.read_text())
    for account in content["accounts"].values():  # type: ignore[attr-defined]
        for user in account["users"]:
            user.pop("permissions", None)
    return content


def attempts(name: str) -> dict[str, object]:
    """Return subjects and bodies that the service may not send."""
    other = SERVICES[SERVICES.index(name) - 1]
    forged = {f"evt.{TENANT}.{other}.thing.done", f"evt.{TENANT}.{name}x.thing.done", f"evt.{TENANT}.{name}"}
    forged |= {f"work.{other}.poke", f"dlq.{other}.EVT", f"$JS.ACK.EVT.{other}.1.1.1.1.0"}
    forged |= set() if name == "auth" else {"$KV.identity.key.k1"}
    forged |= set() if name == "runner" else {"rpc.catalog.lease"}
    plain: dict[str, object] = {subject: {} for subject in sorted(forged)}
    return plain | _interface(name, other)


def _interface(name: str, other: str) -> dict[str, object]:
    verbs: dict[str, object] = {
        "STREAM.CREATE.SPY": {"name": "SPY", "subjects": ["spy.>"]},
        "STREAM.UPDATE.EVT": {"name": "EVT", "subjects": ["evt.>"], "max_msgs": 1},
        "STREAM.DELETE.EVT": {},
        "STREAM.PURGE.EVT": {},
        "STREAM.MSG.DELETE.EVT": {"seq": 1},
        "STREAM.MSG.GET.EVT": {"seq": 1},
        "STREAM.SNAPSHOT.EVT": {"deliver_subject": f"_INBOX_{name}.steal"},
        "DIRECT.GET.EVT": {"seq": 1},
        "STREAM.NAMES": {},
        "CONSUMER.CREATE.EVT": {"stream_name": "EVT", **CONSUMER},
        "CONSUMER.CREATE.EVT.spy": {"stream_name": "EVT", **CONSUMER},
        f"CONSUMER.CREATE.EVT.{name}": {"stream_name": "EVT", "config": {"name": name, "ack_policy": "none"}},
        f"CONSUMER.DELETE.EVT.{name}": {},
        f"CONSUMER.DELETE.EVT.{other}": {},
        f"CONSUMER.PAUSE.EVT.{other}": {"pause_until": "2999-01-01T00:00:00Z"},
        f"CONSUMER.INFO.EVT.{other}": {},
        f"CONSUMER.RESET.EVT.{other}": {"seq": 1},
        f"CONSUMER.MSG.NEXT.EVT.{other}": {"batch": 1, "no_wait": True},
        f"CONSUMER.MSG.NEXT.WORK.{other}": {"batch": 1, "no_wait": True},
        f"CONSUMER.MSG.NEXT.ADV.{PARK}": {"batch": 1, "no_wait": True},
    }
    return {f"{prefix}.{verb}": body for prefix in ("$JS.API", API_PREFIX) for verb, body in verbs.items()}


async def refused(client: Client, subject: str, body: object) -> bool:
    """Tell whether a request got no answer, or an error for one."""
    try:
        reply = await client.request(subject, json.dumps(body).encode(), timeout=0.5)
    except (NatsError, TimeoutError):
        return True
    return "error" in (json.loads(reply.data) if reply.data else {})


async def state(server: Nats) -> object:
    """Return every stream's settings and contents, and every consumer's settings and position."""
    async with server.connect(PROVISIONER) as client:
        bus = client.jetstream()
        streams = [(s.config, s.state.last_seq, s.state.messages) for s in await bus.streams_info()]
        consumers = [c for s in await bus.streams_info() for c in await bus.consumers_info(s.config.name or "")]
        return streams, [(c.name, c.config, c.delivered, c.ack_floor, c.num_ack_pending) for c in consumers]


@pytest.mark.parametrize("name", SERVICES)
async def test_everything_undeclared_is_refused(server: Nats, name: str) -> None:
    """No foreign event, queue, dead letter, acknowledgement, key, consumer or stream operation has any effect."""
    async with server.connect("auth") as auth:
        bus = auth.jetstream(prefix=API_PREFIX)
        await bus.publish(f"evt.{TENANT}.auth.tenant.created", b"{}")
    before = await state(server)
    async with server.connect(name) as client:
        tried = attempts(name)
        answers = await asyncio.gather(*(refused(client, subject, body) for subject, body in tried.items()))
    assert [subject for subject, stopped in zip(tried, answers, strict=True) if not stopped] == []
    assert await state(server) == before


@pytest.mark.parametrize("name", SERVICES)
@pytest.mark.parametrize("subject", [">", "evt.>", "_INBOX_auth.>", "$KV.identity.>", "rpc.>", "$JS.EVENT.>"])
async def test_a_service_overhears_nobody(server: Nats, name: str, subject: str) -> None:
    """A wide subscription, or one on another's replies, hears nothing of what the others say."""
    speaker = "auth" if name != "auth" else "catalog"
    listened = subject.replace("auth", speaker)
    heard: list[str] = []

    async def hear(message: object) -> None:
        heard.append(str(message))

    async with server.connect(name) as client, server.connect(speaker) as other:
        await client.subscribe(listened, cb=hear)
        await client.flush()
        await other.jetstream(prefix=API_PREFIX).publish(f"evt.{TENANT}.{speaker}.thing.said", b"secret")
        await client.flush()
    assert heard == []


async def test_an_answer_cannot_plant_an_event(server: Nats) -> None:
    """A request whose reply subject is an event subject stores nothing when it is answered."""

    async def answer(message: object) -> None:
        await message.respond(b"planted")  # type: ignore[attr-defined]

    async with server.connect("catalog") as catalog, server.connect("runner") as runner:
        await catalog.subscribe("rpc.catalog.lease", queue="catalog", cb=answer)
        await catalog.flush()
        before = await state(server)
        for target in (f"evt.{TENANT}.auth.key.created", "work.auth.poke", f"evt.{TENANT}.catalog.x.y"):
            await runner.publish("rpc.catalog.lease", b"?", reply=target)
        await runner.flush()
        await catalog.flush()
    assert await state(server) == before


async def test_a_stranger_is_not_let_in(server: Nats, tmp_path: Path) -> None:
    """A key that the server does not know is refused at the door."""
    stranger = prepare(tmp_path, tmp_path / "secrets", server.port)
    with pytest.raises(NatsError):
        async with stranger.connect("auth"):
            pass
