"""Signing keys come, sign and go; every step is announced under the system tenant."""

from datetime import datetime, timedelta

from libs.common.database.transaction import Transaction
from libs.common.errors import Conflict
from libs.common.events.auth import KeyChanged
from services.auth import domain
from services.auth.signing import ID_TOKEN_ALGORITHMS, Signers
from services.auth.store import keys


async def turn(tx: Transaction, signers: Signers, algorithm: str, rotation: timedelta, lead: timedelta) -> str | None:
    """Do what the ages of an algorithm's keys call for; returns the step taken, if any."""
    await keys.lock_keys(tx)
    step = domain.key_step(await _ages(tx, algorithm), tx.context.now, rotation, lead)
    if step in ("first", "prepare"):
        await _add(tx, signers, algorithm, "active" if step == "first" else "next")
    elif step == "promote":
        await _promote(tx, algorithm)
    return step


async def prepare(tx: Transaction, signers: Signers) -> str:
    """Begin a rotation now: the next key of each algorithm is published, and signs after the lead time.

    Returns the id of the one that signs access tokens.

    Raises:
        Conflict: a rotation is under way.
    """
    await keys.lock_keys(tx)
    if any([(await _ages(tx, algorithm)).has_next for algorithm in ID_TOKEN_ALGORITHMS]):
        raise Conflict("A rotation is under way.", type="rotation-under-way")
    first, *_ = [await _add(tx, signers, algorithm, "next") for algorithm in ID_TOKEN_ALGORITHMS]
    return first


async def forget_retired(tx: Transaction, before: datetime) -> None:
    """Stop publishing keys that retired so long ago that no token of theirs lives."""
    for row in await keys.remove_retired(tx, before):
        await _say(tx, "key.retired", row["kid"], row["algorithm"])


async def _ages(tx: Transaction, algorithm: str) -> domain.KeyAges:
    by_state = {row["state"]: row for row in await keys.all_keys(tx) if row["algorithm"] == algorithm}
    active, following = by_state.get("active"), by_state.get("next")
    return domain.KeyAges(
        active_since=active["activated_at"] if active else None,
        next_published=following["published_at"] if following else None,
        has_next=following is not None,
    )


async def _add(tx: Transaction, signers: Signers, algorithm: str, state: str) -> str:
    kid, jwk, sealed = await signers.make(tx, algorithm)
    await keys.add_key(tx, kid, jwk, sealed, state)
    await _say(tx, "key.published", kid, algorithm)
    if state == "active":
        await _say(tx, "key.activated", kid, algorithm)
    return kid


async def _promote(tx: Transaction, algorithm: str) -> None:
    await keys.retire_active(tx, algorithm)
    await _say(tx, "key.activated", await keys.activate_next(tx, algorithm), algorithm)


async def _say(tx: Transaction, event: str, kid: str, algorithm: str) -> None:
    await tx.emit(event, KeyChanged(kid=kid, algorithm=algorithm), entity=kid)
