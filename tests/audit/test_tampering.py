"""What a superuser can do to a trail with its triggers disabled, and that verification finds each of it (S39)."""

from contextlib import AbstractAsyncContextManager

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from libs.common.database.transaction import Transaction
from libs.common.errors import Invalid
from libs.common.ids import SYSTEM_TENANT
from services.audit import checkpoint, commands, signing, store
from services.audit.checkpoint import Checkpoint, origin_of
from services.audit.domain import read
from services.audit.tree import Frontier, extend, leaf_hash
from services.audit.verification import Finding, Verdict
from tests.audit.world import TENANT, Store, context, received


async def append(audit: Store, first: int, end: int) -> None:
    messages = [received(number + 1) for number in range(first, end)]
    entries = [read(message) for message in messages]
    async with audit.role("writer") as writer, writer.transaction(context()) as tx:
        await commands.append(tx, entries)


async def sign(audit: Store) -> str:
    async with audit.role("signer") as signer:
        async with signer.transaction(context(SYSTEM_TENANT)) as tx:
            await signing.ensure(tx, audit.ring)
            private = await signing.current(tx, audit.ring)
        async with signer.transaction(context()) as tx:
            await commands.sign(tx, private, audit.objects)
            row = await store.latest_checkpoint(tx)
    assert row is not None
    return str(row["note"])


@pytest.fixture
async def held(audit: Store) -> str:
    """Return the checkpoint that the auditor kept: at 1,100 of 1,200 entries, with another one stored at 400."""
    await append(audit, 0, 400)
    await sign(audit)
    await append(audit, 400, 1100)
    note = await sign(audit)
    await append(audit, 1100, 1200)
    return note


async def verdict(audit: Store, note: str | None = None) -> Verdict:
    async with audit.role("server") as server:

        def opener() -> AbstractAsyncContextManager[Transaction]:
            return server.transaction(context())

        async with opener() as tx:
            kept = await commands.trusted(tx, note) if note else None
        return await commands.verify(opener, kept)


async def test_untouched(audit: Store, held: str) -> None:
    """An untouched trail is proven by a held checkpoint; without one it is called consistent and no more."""
    proven = await verdict(audit, held)
    assert (proven.finding, proven.proven_size, proven.size) == (Finding.PROVEN, 1100, 1200)
    assert (await verdict(audit)).finding is Finding.CONSISTENT


async def test_edited_row(audit: Store, held: str) -> None:
    """An edited body is found and named."""
    await audit.as_superuser("UPDATE entry SET body = 'edited' WHERE seq = 777")
    found = await verdict(audit, held)
    assert (found.finding, found.seq) == (Finding.EDITED, 777)


async def test_edited_row_with_its_hash(audit: Store, held: str) -> None:
    """A body that was edited together with its hash is found and bracketed by the checkpoints around it."""
    forged = leaf_hash(b"edited").hex()
    await audit.as_superuser(f"UPDATE entry SET body = 'edited', leaf_hash = '\\x{forged}' WHERE seq = 777")
    found = await verdict(audit, held)
    assert (found.finding, found.seq, found.until) == (Finding.REWRITTEN, 400, 1100)


async def test_removed_row(audit: Store, held: str) -> None:
    """A removed row is found and named, also at the edge of a page."""
    await audit.as_superuser("DELETE FROM entry WHERE seq = 999")
    found = await verdict(audit, held)
    assert (found.finding, found.seq) == (Finding.OUT_OF_ORDER, 999)


async def test_swapped_rows(audit: Store, held: str) -> None:
    """Two rows that changed places are found."""
    await audit.as_superuser(
        "UPDATE entry SET seq = seq + 100000 WHERE seq IN (10, 20)",
        "UPDATE entry SET seq = CASE seq WHEN 100010 THEN 20 ELSE 10 END WHERE seq > 100000",
    )
    found = await verdict(audit, held)
    assert (found.finding, found.seq, found.until) == (Finding.REWRITTEN, 0, 400)


async def test_cut_tail(audit: Store, held: str) -> None:
    """A cut tail is found by the head that still counts it."""
    await audit.as_superuser("DELETE FROM entry WHERE seq >= 1150")
    found = await verdict(audit)
    assert (found.finding, found.seq, found.until) == (Finding.CUT, 1150, 1200)


def set_back(bodies: list[bytes]) -> str:
    """Return the statement that makes the head fit these bodies."""
    frontier = extend(Frontier(), [leaf_hash(body) for body in bodies]).frontier
    nodes = ", ".join(f"'\\x{node.hex()}'::bytea" for node in frontier.nodes)
    return (
        f"UPDATE tree_head SET size = {frontier.size}, frontier = ARRAY[{nodes}], "
        f"noteworthy_size = {frontier.size}, signed_size = 0"
    )


async def stored_bodies(audit: Store, end: int) -> list[bytes]:
    async with audit.role("server") as server, server.transaction(context()) as tx:
        return [bytes(row["body"]) for row in await store.bodies(tx, 0, end, end)]


async def test_careful_cut(audit: Store, held: str) -> None:
    """A cut that also sets back the head and removes the stored checkpoints is found by the held one only."""
    kept = await stored_bodies(audit, 1000)
    await audit.as_superuser(
        "DELETE FROM entry WHERE seq >= 1000", "DELETE FROM checkpoint WHERE size > 1000", set_back(kept)
    )
    assert (await verdict(audit)).finding is Finding.CONSISTENT
    found = await verdict(audit, held)
    assert (found.finding, found.seq, found.until) == (Finding.CUT, 1000, 1100)


async def test_cut_with_forgotten_checkpoint(audit: Store, held: str) -> None:
    """A cut that sets back the head but leaves the checkpoint beside it is found without a held one."""
    kept = await stored_bodies(audit, 1000)
    await audit.as_superuser("DELETE FROM entry WHERE seq >= 1000", set_back(kept))
    found = await verdict(audit)
    assert (found.finding, found.until) == (Finding.CUT, 1100)


async def test_full_rewrite(audit: Store, held: str) -> None:
    """A rewrite of every entry, head and checkpoint is found by the held checkpoint only."""
    bodies = await stored_bodies(audit, 1200)
    bodies[5] = b"rewritten"
    forged = leaf_hash(b"rewritten").hex()
    await audit.as_superuser(
        f"UPDATE entry SET body = 'rewritten', leaf_hash = '\\x{forged}' WHERE seq = 5",
        "DELETE FROM checkpoint",
        set_back(bodies),
    )
    assert (await verdict(audit)).finding is Finding.CONSISTENT
    found = await verdict(audit, held)
    assert (found.finding, found.seq, found.until) == (Finding.REWRITTEN, 0, 1100)


async def test_forged_checkpoint(audit: Store, held: str) -> None:
    """A stored checkpoint that somebody else signed is found."""
    stranger = Ed25519PrivateKey.from_private_bytes(bytes(32))
    forged = checkpoint.sign(Checkpoint(origin_of(TENANT), 400, bytes(32)), stranger)
    await audit.as_superuser(f"UPDATE checkpoint SET note = '{forged}' WHERE size = 400")
    assert (await verdict(audit)).finding is Finding.FORGED


async def test_moved_checkpoint(audit: Store, held: str) -> None:
    """A stored checkpoint whose row says another size than its note is found."""
    await audit.as_superuser("UPDATE checkpoint SET size = 401 WHERE size = 400")
    assert (await verdict(audit)).finding is Finding.FORGED


async def test_foreign_checkpoint(audit: Store, held: str) -> None:
    """A checkpoint that we never signed, or of another tenant, is refused before anything is read."""
    stranger = Ed25519PrivateKey.from_private_bytes(bytes(32))
    for tenant in (TENANT, SYSTEM_TENANT):
        with pytest.raises(Invalid):
            await verdict(audit, checkpoint.sign(Checkpoint(origin_of(tenant), 1, bytes(32)), stranger))
    with pytest.raises(Invalid):
        await verdict(audit, "nonsense")
