"""Each service can do on the bus what the topology declares for it."""

import asyncio
import json
from contextlib import suppress

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import NoRespondersError
from nats.js.api import ConsumerConfig
from nats.js.errors import APIError

from deploy.local.nats import Nats
from libs.common.bus.nats_config import server_config
from libs.common.bus.topology import API_PREFIX, IDENTITY_STREAM, PARK, PROVISIONER, TOPOLOGY

SERVICES = [service.name for service in TOPOLOGY.services]
TENANT = "00000000-0000-0000-0000-000000000000"


async def publish_batch(client: Client, subjects: list[str], ids: list[str]) -> int:
    """Publish one atomic batch and return how many messages it stored."""
    batch = {"Nats-Batch-Id": ids[0]}
    for number, (subject, name) in enumerate(zip(subjects, ids, strict=True), 1):
        headers = {**batch, "Nats-Batch-Sequence": str(number), "Nats-Msg-Id": name}
        if number < len(subjects):
            await client.publish(subject, b"{}", headers=headers)
    stored = await client.jetstream(prefix=API_PREFIX).publish(
        subjects[-1], b"{}", headers={**headers, "Nats-Batch-Commit": "1"}
    )
    return stored.batch_size or 0


@pytest.mark.parametrize("name", SERVICES)
async def test_a_service_publishes_its_own_events_work_and_dead_letters(nats_server: Nats, name: str) -> None:
    """What carries the service's own name is stored in the stream that it belongs to."""
    subjects = {f"evt.{TENANT}.{name}.thing.done": "EVT", f"work.{name}.poke": "WORK", f"dlq.{name}.EVT": "DLQ"}
    async with nats_server.connect(name) as client:
        bus = client.jetstream(prefix=API_PREFIX)
        stored = {subject: (await bus.publish(subject, b"{}")).stream for subject in subjects}
    assert stored == subjects


@pytest.mark.parametrize("name", SERVICES)
async def test_an_atomic_batch_passes_the_account_border(nats_server: Nats, name: str) -> None:
    """A batch is stored whole with one acknowledgement."""
    async with nats_server.connect(name) as client:
        subjects = [f"evt.{TENANT}.{name}.thing.batched"] * 20
        assert await publish_batch(client, subjects, [f"{name}-batch-{i}" for i in range(20)]) == 20


async def test_a_batch_with_a_known_id_is_refused_whole(nats_server: Nats) -> None:
    """A message id that the stream has seen refuses the batch, so the relay falls back to single publishes."""
    async with nats_server.connect("runner") as client:
        subject = f"evt.{TENANT}.runner.thing.seen"
        await client.jetstream(prefix=API_PREFIX).publish(subject, b"{}", headers={"Nats-Msg-Id": "seen"})
        with pytest.raises(APIError) as refused:
            await publish_batch(client, [subject] * 2, ["unseen", "seen"])
    assert refused.value.err_code == 10201


@pytest.mark.parametrize("name", SERVICES)
async def test_a_service_resets_and_reads_its_durable(nats_server: Nats, name: str) -> None:
    """After a reset the durable delivers from the beginning, and acknowledgements are taken."""
    async with nats_server.connect("auth") as auth:
        await auth.jetstream(prefix=API_PREFIX).publish(f"evt.{TENANT}.auth.tenant.created", b"{}")
    async with nats_server.connect(name) as client:
        bus = client.jetstream(prefix=API_PREFIX)
        await bus.reset_consumer("EVT", name, seq=1)
        messages = await (await bus.pull_subscribe_bind(durable=name, stream="EVT")).fetch(1000, timeout=30)
        await asyncio.gather(*(message.ack_sync() for message in messages))
        info = await bus.consumer_info("EVT", name)
    assert f"evt.{TENANT}.auth.tenant.created" in {message.subject for message in messages}
    assert info.num_ack_pending == 0


@pytest.mark.parametrize("name", SERVICES)
async def test_a_service_works_off_its_own_queue(nats_server: Nats, name: str) -> None:
    """A poke comes out of the queue once and is gone after its acknowledgement."""
    async with nats_server.connect(name) as client:
        bus = client.jetstream(prefix=API_PREFIX)
        await bus.publish(f"work.{name}.run", b"mine")
        queue = await bus.pull_subscribe_bind(durable=name, stream="WORK")
        taken = await queue.fetch(10, timeout=30)
        await asyncio.gather(*(message.ack_sync() for message in taken))
        left = (await bus.consumer_info("WORK", name)).num_pending
    assert b"mine" in [message.data for message in taken]
    assert left == 0


async def test_the_runner_is_answered_by_the_catalog_only(nats_server: Nats) -> None:
    """The one declared request reaches the catalog's queue group and brings its answer back."""

    async def answer(message: Msg) -> None:
        await message.respond(b"sealed")

    async with nats_server.connect("catalog") as catalog, nats_server.connect("runner") as runner:
        await catalog.subscribe("rpc.catalog.lease", queue="catalog", cb=answer)
        await catalog.flush()
        reply = await _patiently(runner, "rpc.catalog.lease")
    assert reply.data == b"sealed"


async def _patiently(client: Client, subject: str) -> Msg:
    for _ in range(20):  # the responder's interest takes a moment to cross the accounts
        with suppress(NoRespondersError):
            return await client.request(subject, b"?", timeout=30)
        await asyncio.sleep(0.05)
    raise AssertionError("nobody answers")


async def test_every_service_reads_the_identity_snapshot(nats_server: Nats) -> None:
    """What auth wrote last for each key comes in one streamed answer, however many keys there are."""
    async with nats_server.connect("auth") as auth:
        for number in range(1100):  # one more than the server's limit for a multi-last request would be enough
            await auth.publish(f"$KV.identity.revoked.{number}", b"{}")
        for value in (b"old", b"new"):
            await auth.jetstream(prefix=API_PREFIX).publish("$KV.identity.key.k1", value)
    for name in SERVICES:
        async with nats_server.connect(name) as client:
            snapshot = await _snapshot(client)
        assert (len(snapshot), snapshot["$KV.identity.key.k1"]) == (1101, b"new")


async def _snapshot(client: Client) -> dict[str, bytes]:
    inbox = client.new_inbox()
    answers = await client.subscribe(inbox)
    question = json.dumps({"seq": 1, "next_by_subj": "$KV.identity.>", "batch": 100_000}).encode()
    await client.publish(f"{API_PREFIX}.DIRECT.GET.{IDENTITY_STREAM}", question, reply=inbox)
    found: dict[str, bytes] = {}
    while (message := await answers.next_msg(timeout=30)).headers and message.headers.get("Status") != "204":
        found[message.headers["Nats-Subject"]] = message.data
    return found


async def test_a_terminated_message_reaches_the_dead_letter_worker(nats_server: Nats) -> None:
    """Refusing a message leaves an advisory with its reason, from which the worker fetches, parks and deletes it."""
    async with nats_server.connect("scheduler") as client, nats_server.connect(PARK) as park:
        bus = client.jetstream(prefix=API_PREFIX)
        await bus.publish("work.scheduler.poison", b"poison")
        queue = await bus.pull_subscribe_bind(durable="scheduler", stream="WORK")
        for message in await queue.fetch(10, timeout=30):
            await client.publish(message.reply, b"+TERM cannot be read")
        parking = park.jetstream(prefix=API_PREFIX)
        advisories = await (await parking.pull_subscribe_bind(durable=PARK, stream="ADV")).fetch(10, timeout=30)
        stored = await parking.publish("dlq.scheduler.WORK", b"poison")
    assert "cannot be read" in {json.loads(advisory.data).get("reason") for advisory in advisories}
    assert stored.stream == "DLQ"


async def test_provisioning_twice_changes_nothing(nats_server: Nats) -> None:
    """The provisioner may run at every start: streams, positions and messages stay."""

    async def state() -> list[object]:
        async with nats_server.connect(PROVISIONER) as client:
            bus = client.jetstream()
            return [(s.config, s.state.last_seq, s.state.consumer_count) for s in await bus.streams_info()]

    before = await state()
    await nats_server.provision()
    assert await state() == before


async def test_the_event_stream_keeps_what_it_took(nats_server: Nats) -> None:
    """Events are limited by age alone, and not even the provisioner deletes one."""
    async with nats_server.connect(PROVISIONER) as client:
        config = (await client.jetstream().stream_info("EVT")).config
        assert (config.deny_delete, config.max_age, config.duplicate_window) == (True, 90 * 86400, 600)
        with pytest.raises(APIError):
            await client.jetstream().delete_msg("EVT", 1)


@pytest.mark.parametrize("name", SERVICES)
async def test_durables_are_explicit_and_filtered(nats_server: Nats, name: str) -> None:
    """Each durable asks for acknowledgement and reads exactly the declared subjects."""
    async with nats_server.connect(PROVISIONER) as client:
        config: ConsumerConfig = (await client.jetstream().consumer_info("EVT", name)).config
    assert tuple(config.filter_subjects or ()) == TOPOLOGY.service(name).reads
    assert (config.ack_policy, config.max_ack_pending, config.ack_wait) == ("explicit", 1000, 30)


def test_a_user_without_a_key_is_found_before_the_server_starts() -> None:
    """A forgotten key is an error of the generator, not a service that cannot connect."""
    with pytest.raises(KeyError, match="auth"):
        server_config(TOPOLOGY, {}, host="127.0.0.1", port=4222, store="store")
