"""What audit does: append, sign, prove, verify. Each works inside the transaction that its door opened."""

import hashlib
from base64 import b64encode
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from libs.common.database.transaction import Row, Transaction
from libs.common.errors import FieldProblem, Invalid
from libs.common.events.audit import CheckpointSigned
from libs.common.objects import ObjectAlteredError, ObjectMissingError, Objects, tenant_key
from services.audit import checkpoint as notes
from services.audit import proofs, signing, store
from services.audit.checkpoint import BadCheckpointError, Checkpoint, VerifierKey, origin_of
from services.audit.domain import Entry, first_seen
from services.audit.tree import extend, verify_consistency
from services.audit.verification import Mark, Verdict, Verification

PAGE = 1000
OpenTransaction = Callable[[], AbstractAsyncContextManager[Transaction]]


class RewrittenError(Exception):
    """A tree no longer continues what was signed before: somebody changed the past. Nothing more is signed for it."""


async def append(tx: Transaction, entries: Sequence[Entry]) -> int:
    """Append one tenant's entries to its tree, leaving out what it holds already; returns how many were new."""
    head = await store.head(tx, lock=True)
    known = await store.known_events(tx, [entry.event.id for entry in entries if entry.event])
    fresh = first_seen(entries, known)
    if fresh:
        growth = extend(head.frontier, [entry.leaf_hash for entry in fresh])
        await store.append(tx, head, fresh, growth)
    return len(fresh)


async def sign(tx: Transaction, private: Ed25519PrivateKey, objects: Objects) -> bool:
    """Sign the tenant's tree as it stands, put the note outside the database and announce it; say whether it was new.

    Raises:
        RewrittenError: the tree does not continue the checkpoint before, or the note outside says something else.
    """
    frontier = (await store.head(tx)).frontier
    checkpoint = Checkpoint(origin_of(tx.tenant_id), frontier.size, frontier.root())
    await _require_growth(tx, checkpoint, objects)
    note = notes.sign(checkpoint, private)
    await _put_outside(objects, _note_key(tx, checkpoint.size), note)
    if not await store.record_checkpoint(tx, checkpoint.size, checkpoint.root, note):
        return False
    root = b64encode(checkpoint.root).decode()
    announcement = CheckpointSigned(size=checkpoint.size, root=root, key=_note_key(tx, checkpoint.size))
    await tx.emit("checkpoint.signed", announcement, entity=tx.tenant_id)
    return True


async def _require_growth(tx: Transaction, checkpoint: Checkpoint, objects: Objects) -> None:
    """Check that the tree continues the last checkpoint, which must stand outside the database as it does inside."""
    before = await store.latest_checkpoint(tx)
    if before is None:
        return
    await _put_outside(objects, _note_key(tx, before["size"]), before["note"])
    if before["size"] > checkpoint.size:
        raise RewrittenError(f"the tree of {tx.tenant_id} is smaller than its checkpoint at {before['size']}")
    try:
        path = await proofs.continuation(tx, before["size"], checkpoint.size)
    except proofs.DamagedTreeError as error:
        raise RewrittenError(f"the tree of {tx.tenant_id} is damaged: {error}") from error
    if not verify_consistency(before["size"], checkpoint.size, before["root"], checkpoint.root, path):
        raise RewrittenError(f"the tree of {tx.tenant_id} does not continue its checkpoint at {before['size']}")


async def _put_outside(objects: Objects, key: str, note: str) -> None:
    """Put a note into the object store, never over another one."""
    content = note.encode()
    try:
        await objects.get(key, hashlib.sha256(content).hexdigest())
    except ObjectMissingError:
        await objects.put(key, content)
    except ObjectAlteredError as error:
        raise RewrittenError(f"{key} holds another checkpoint than the database") from error


def _note_key(tx: Transaction, size: int) -> str:
    return tenant_key(tx.tenant_id, "checkpoints", f"{size}.note")


async def trusted(tx: Transaction, note: str) -> Checkpoint:
    """Read a checkpoint that a caller kept aside.

    Raises:
        Invalid: it is no checkpoint of this tenant's trail, or none that we signed.
    """
    origin = origin_of(tx.tenant_id)
    try:
        held = notes.verify(note, *await verifier_keys(tx))
    except BadCheckpointError as error:
        fault = FieldProblem("/checkpoint", str(error))
        raise Invalid("This is no checkpoint of ours.", type="bad-checkpoint", fields=[fault]) from error
    if held.origin != origin:
        fault = FieldProblem("/checkpoint", f"is of {held.origin}, your trail is {origin}")
        raise Invalid("This is a checkpoint of another trail.", type="bad-checkpoint", fields=[fault])
    return held


async def verifier_keys(tx: Transaction) -> list[VerifierKey]:
    """Return every key that ever signed, under the tenant's origin."""
    origin = origin_of(tx.tenant_id)
    return [key.under(origin) for key in await signing.public_keys(tx)]


async def verify(open_transaction: OpenTransaction, held: Checkpoint | None) -> Verdict:
    """Check a tenant's whole trail, page by page, each in a short transaction: entries are only ever appended."""
    async with open_transaction() as tx:
        extent = await store.extent(tx)
        keys = await verifier_keys(tx)
        origin = origin_of(tx.tenant_id)
    verification = Verification([Mark(held, held=True)] if held else [])
    for first in range(0, extent.end, PAGE):
        end = min(first + PAGE, extent.end)
        async with open_transaction() as tx:
            rows = await store.bodies(tx, first, end, PAGE)
            stored = await store.notes(tx, first, end)
        _expect_stored(verification, stored, keys)
        for row in rows:
            verification.feed(row["seq"], row["leaf_hash"], row["body"])
        if verification.broken:
            break
    if extent.latest and extent.latest["size"] > extent.end:
        _expect_stored(verification, [extent.latest], keys)
    head = extent.head.frontier
    return verification.verdict(Checkpoint(origin, head.size, head.root()))


def _expect_stored(verification: Verification, stored: Sequence[Row], keys: Sequence[VerifierKey]) -> None:
    for row in stored:
        try:
            checkpoint = notes.verify(row["note"], *keys)
        except BadCheckpointError as error:
            verification.forged(row["size"], str(error))
            return
        if checkpoint.size != row["size"]:
            verification.forged(row["size"], f"its note is of size {checkpoint.size}")
            return
        verification.expect([Mark(checkpoint)])
