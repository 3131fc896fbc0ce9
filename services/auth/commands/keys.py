"""Signing keys come, sign and go; every step is announced under the system tenant."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from libs.common.database.transaction import Row, Transaction
from libs.common.errors import Conflict
from libs.common.events.auth import KeyChanged
from libs.common.identity.verifier import ALGORITHM
from services.auth import domain
from services.auth.signing import Signers
from services.auth.store import keys


async def turn(tx: Transaction, signers: Signers, rotation: timedelta, lead: timedelta) -> str | None:
    """Do what the keys' ages call for; returns the step taken, if any."""
    await keys.lock_keys(tx)
    step = domain.key_step(_ages(await keys.all_keys(tx)), tx.context.now, rotation, lead)
    if step in ("first", "prepare"):
        await _add(tx, signers, "active" if step == "first" else "next")
    elif step == "promote":
        await _promote(tx)
    return step


async def prepare(tx: Transaction, signers: Signers) -> str:
    """Begin a rotation now: the next key is published, and signs after the lead time.

    Raises:
        Conflict: a rotation is under way.
    """
    await keys.lock_keys(tx)
    if _ages(await keys.all_keys(tx)).has_next:
        raise Conflict("A rotation is under way.", type="rotation-under-way")
    return await _add(tx, signers, "next")


async def forget_retired(tx: Transaction, before: datetime) -> None:
    """Stop publishing keys that retired so long ago that no token of theirs lives."""
    for kid in await keys.remove_retired(tx, before):
        await _say(tx, "key.retired", kid)


def _ages(rows: Sequence[Row]) -> domain.KeyAges:
    by_state = {row["state"]: row for row in rows}
    active, following = by_state.get("active"), by_state.get("next")
    return domain.KeyAges(
        active_since=active["activated_at"] if active else None,
        next_published=following["published_at"] if following else None,
        has_next=following is not None,
    )


async def _add(tx: Transaction, signers: Signers, state: str) -> str:
    kid, jwk, sealed = await signers.make(tx)
    await keys.add_key(tx, kid, jwk, sealed, state)
    await _say(tx, "key.published", kid)
    if state == "active":
        await _say(tx, "key.activated", kid)
    return kid


async def _promote(tx: Transaction) -> None:
    await keys.retire_active(tx)
    await _say(tx, "key.activated", await keys.activate_next(tx))


async def _say(tx: Transaction, event: str, kid: str) -> None:
    await tx.emit(event, KeyChanged(kid=kid, algorithm=ALGORITHM), entity=kid)
