"""Checkpoints: when they are signed, where they go, and when signing stops."""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import asyncpg
import orjson
import pytest

from libs.common.crypto.canaries import mark_active
from libs.common.crypto.holdings import rewrap_batch
from libs.common.crypto.keyring import KeyRing, UnreadableSecretError
from libs.common.ids import SYSTEM_TENANT
from libs.common.objects import Objects
from services.audit import checkpoint, commands, signing, store
from services.audit.checkpointer import Checkpointer
from services.audit.domain import Received, read
from services.audit.tree import leaf_hash
from tests.audit.world import KEY, OTHER, TENANT, Store, context, event_body, received


async def fill(audit: Store, *messages: Received) -> None:
    async with audit.role("writer") as writer:
        for message in messages:
            entry = read(message)
            async with writer.transaction(context(entry.tenant_id)) as tx:
                await commands.append(tx, [entry])


async def sign(audit: Store, *, seconds: float = 3600, entries: int = 1000) -> int:
    async with audit.role("signer") as signer:
        checkpointer = Checkpointer(signer, audit.objects, audit.ring, seconds=seconds, entries=entries)
        await checkpointer.ensure_key()
        return await checkpointer.sign_due()


async def told(audit: Store) -> list[dict[str, Any]]:
    connection = await asyncpg.connect(audit.urls["audit_relay"], server_settings={"search_path": "audit"})
    rows = await connection.fetch("SELECT subject, body FROM outbox ORDER BY position")
    await connection.close()
    return [orjson.loads(row["body"]) for row in rows]


async def latest(audit: Store) -> Any:
    async with audit.role("server") as server, server.transaction(context()) as tx:
        return await store.latest_checkpoint(tx), await commands.verifier_keys(tx)


async def test_a_checkpoint(audit: Store) -> None:
    """A trail that grew gets a signed note, in the database and outside, and an event that announces it (S39)."""
    await fill(audit, *(received(number) for number in range(1, 6)))
    assert await sign(audit) == 1
    row, keys = await latest(audit)
    found = checkpoint.verify(row["note"], *keys)
    assert (found.origin, found.size) == (f"regent/{TENANT}", 5)
    outside = Path(audit.objects_url.removeprefix("file://")) / str(TENANT) / "checkpoints" / "5.note"
    assert outside.read_text() == row["note"]
    (announced,) = [event for event in await told(audit) if event["type"] == "audit.checkpoint.signed.v1"]
    assert announced["data"]["size"] == 5
    assert announced["tenantid"] == str(TENANT)


async def test_signing_ends(audit: Store) -> None:
    """A checkpoint's own announcement becomes an entry and calls for no checkpoint: signing does not feed itself."""
    await fill(audit, received(1))
    assert await sign(audit, seconds=0.001) == 1
    body = event_body(name="audit.checkpoint.signed")
    await fill(audit, Received(2, f"evt.{TENANT}.audit.checkpoint.signed", body, context().now))
    assert await sign(audit, seconds=0.001) == 0
    await fill(audit, received(3))
    assert await sign(audit, seconds=0.001) == 1
    assert (await latest(audit))[0]["size"] == 3


async def test_interval_and_growth(audit: Store) -> None:
    """Within the interval a trail waits, unless it grew by as many entries as call for a checkpoint at once."""
    await fill(audit, received(1))
    assert await sign(audit) == 1
    await fill(audit, received(2))
    assert await sign(audit) == 0
    assert await sign(audit, entries=2) == 0
    await fill(audit, received(3))
    assert await sign(audit, entries=2) == 1


async def test_each_tenant(audit: Store) -> None:
    """Every tenant's trail gets its own checkpoint, under its own origin."""
    await fill(audit, received(1), received(2, OTHER))
    assert await sign(audit) == 2
    async with audit.role("server") as server, server.transaction(context(OTHER)) as tx:
        row = await store.latest_checkpoint(tx)
    assert row is not None
    assert row["note"].startswith(f"regent/{OTHER}\n1\n")


async def test_a_rewritten_tree_is_not_signed(audit: Store) -> None:
    """The signer finds that a tree does not continue its last checkpoint, and signs no more for it (S39)."""
    await fill(audit, *(received(number) for number in range(1, 6)))
    await sign(audit)
    await fill(audit, received(6))
    forged = leaf_hash(b"forged").hex()
    await audit.as_superuser(f"UPDATE entry SET body = 'forged', leaf_hash = '\\x{forged}' WHERE seq = 2")
    assert await sign(audit, seconds=0.001) == 0
    assert (await latest(audit))[0]["size"] == 5


async def test_a_shrunken_tree_is_not_signed(audit: Store) -> None:
    """A tree that was set back below its checkpoint is not signed."""
    await fill(audit, *(received(number) for number in range(1, 6)))
    await sign(audit)
    await audit.as_superuser(
        "UPDATE tree_head SET size = 4, frontier = frontier[1:1], noteworthy_size = 4, signed_size = 0, signed_at = NULL"
    )
    assert await sign(audit) == 0


async def test_the_note_outside_decides(audit: Store) -> None:
    """A stored checkpoint that differs from the one outside the database stops signing, and is never written over it."""
    await fill(audit, received(1))
    await sign(audit)
    outside = Path(audit.objects_url.removeprefix("file://")) / str(TENANT) / "checkpoints" / "1.note"
    outside.write_text("something else")
    await fill(audit, received(2))
    assert await sign(audit, seconds=0.001) == 0
    assert outside.read_text() == "something else"


async def test_a_lost_note_is_put_back(audit: Store, tmp_path: Path) -> None:
    """A checkpoint that vanished outside the database is put there again before the next one."""
    await fill(audit, received(1))
    await sign(audit)
    outside = Path(audit.objects_url.removeprefix("file://")) / str(TENANT) / "checkpoints" / "1.note"
    outside.unlink()
    await fill(audit, received(2))
    assert await sign(audit, seconds=0.001) == 1
    assert outside.exists()


async def test_two_signers(audit: Store) -> None:
    """Two signers at once record and announce one checkpoint."""
    await fill(audit, received(1))
    await sign(audit)
    async with audit.role("signer") as signer:
        async with signer.transaction(context(SYSTEM_TENANT)) as tx:
            private = await signing.current(tx, audit.ring)
        async with signer.transaction(context()) as tx:
            assert not await commands.sign(tx, private, audit.objects)
    assert sum(event["type"] == "audit.checkpoint.signed.v1" for event in await told(audit)) == 1


async def test_first_key(audit: Store) -> None:
    """The first key is made where nothing was ever read or signed, announced, and made once."""
    async with audit.role("signer") as signer:
        for made in (True, False):
            async with signer.transaction(context(SYSTEM_TENANT)) as tx:
                assert await signing.ensure(tx, audit.ring) is made
    assert [event["type"] for event in await told(audit)] == ["audit.key.created.v1"]


async def test_a_lost_key_is_not_replaced(audit: Store) -> None:
    """A key that vanished is never replaced silently: the service stops and says so."""
    await fill(audit, received(1))
    await sign(audit)
    await audit.as_superuser(
        "DELETE FROM signing_key", "INSERT INTO reader_position (reader, position) VALUES ('EVT', 1)"
    )
    async with audit.role("signer") as signer:
        with pytest.raises(signing.MissingKeyError, match="gone"):
            async with signer.transaction(context(SYSTEM_TENANT)) as tx:
                await signing.ensure(tx, audit.ring)


async def test_rotation(audit: Store) -> None:
    """After a rotation the new key signs, and what the old key signed still verifies."""
    await fill(audit, received(1))
    await sign(audit)
    first, _ = await latest(audit)
    async with audit.role("signer") as signer, signer.transaction(context(SYSTEM_TENANT)) as tx:
        await signing.rotate(tx, audit.ring)
    await fill(audit, received(2))
    await sign(audit, seconds=0.001)
    second, keys = await latest(audit)
    assert len(keys) == 2
    assert checkpoint.verify(first["note"], keys[1]).size == 1
    assert checkpoint.verify(second["note"], keys[0]).size == 2
    with pytest.raises(checkpoint.BadCheckpointError):
        checkpoint.verify(second["note"], keys[1])


async def test_rewrapping(audit: Store) -> None:
    """The key is sealed under a newer ring key without changing, and a ring without its keys does not open it."""
    newer = base64.b64encode(hashlib.sha256(b"newer").digest()).decode()
    both = KeyRing.parse(json.dumps({"active": "k2", "keys": {"k1": base64.b64encode(KEY).decode(), "k2": newer}}))
    only = KeyRing.parse(json.dumps({"active": "k2", "keys": {"k2": newer}}))
    async with audit.role("signer") as signer, signer.transaction(context(SYSTEM_TENANT)) as tx:
        await signing.ensure(tx, audit.ring)
        before = await signing.current(tx, audit.ring)
        with pytest.raises(UnreadableSecretError):
            await signing.current(tx, only)
        await mark_active(tx.connection, both)
        assert (await rewrap_batch(tx, both, signing.SIGNING_KEYS, None)).moved == 1
        assert (await rewrap_batch(tx, both, signing.SIGNING_KEYS, None)).moved == 0
        assert (await signing.current(tx, only)).private_bytes_raw() == before.private_bytes_raw()


async def test_objects_are_the_tenants(audit: Store) -> None:
    """The note's key begins with the tenant, like every object."""
    await fill(audit, received(1))
    await sign(audit)
    (announced,) = [event for event in await told(audit) if event["type"] == "audit.checkpoint.signed.v1"]
    assert announced["data"]["key"] == f"{TENANT}/checkpoints/1.note"
    assert isinstance(audit.objects, Objects)
