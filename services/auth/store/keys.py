"""Signing keys, and auth's own sealed secrets."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Text, bindparam, delete, func, select, update
from sqlalchemy.dialects.postgresql import ARRAY, insert

from libs.common.database.transaction import Row, Transaction
from services.auth.store.tables import own_secret, signing_key

_K = signing_key.c


async def lock_keys(tx: Transaction) -> None:
    """Wait until nobody else changes signing keys, until the transaction's end."""
    await tx.connection.execute("SELECT pg_advisory_xact_lock(hashtext('auth'), hashtext('signing-keys'))")


async def all_keys(tx: Transaction) -> Sequence[Row]:
    """Return every signing key, without private parts."""
    columns = (_K.kid, _K.jwk, _K.algorithm, _K.state, _K.created_at, _K.published_at, _K.activated_at, _K.retired_at)
    return await tx.rows(select(*columns).order_by(_K.created_at))


async def active_key(tx: Transaction, algorithm: str) -> Row | None:
    """Return the key that signs by an algorithm, its private part sealed."""
    return await tx.row(select(_K.kid, _K.sealed).where(_K.state == "active", _K.algorithm == algorithm))


async def add_key(tx: Transaction, kid: str, jwk: dict[str, Any], sealed: bytes, state: str) -> None:
    """Add a key as `next` or, where it is the first of its algorithm, as `active`."""
    now = tx.context.now
    values = {"kid": kid, "jwk": jwk, "algorithm": jwk["alg"], "sealed": sealed, "state": state, "created_at": now}
    await tx.execute(insert(signing_key).values(**values, activated_at=now if state == "active" else None))


async def note_published(tx: Transaction, kids: Sequence[str]) -> None:
    """Note that these keys are known outside from now on."""
    named = _K.kid == func.any(bindparam(None, list(kids), type_=ARRAY(Text)))
    statement = update(signing_key).where(named, _K.published_at.is_(None))
    await tx.execute(statement.values(published_at=tx.context.now))


async def retire_active(tx: Transaction, algorithm: str) -> None:
    """Let the active key of an algorithm retire; its private part is destroyed."""
    statement = update(signing_key).where(_K.state == "active", _K.algorithm == algorithm)
    await tx.execute(statement.values(state="retiring", sealed=None, retired_at=tx.context.now))


async def activate_next(tx: Transaction, algorithm: str) -> str:
    """Let the next key of an algorithm sign; returns its id."""
    statement = update(signing_key).where(_K.state == "next", _K.algorithm == algorithm).returning(_K.kid)
    kid: str = await tx.value(statement.values(state="active", activated_at=tx.context.now))
    return kid


async def remove_retired(tx: Transaction, before: datetime) -> Sequence[Row]:
    """Forget keys that retired before an instant; returns their ids and algorithms."""
    gone = (_K.state == "retiring") & (_K.retired_at < before)
    return await tx.rows(delete(signing_key).where(gone).returning(_K.kid, _K.algorithm))


async def find_own_secret(tx: Transaction, name: str) -> bytes | None:
    """Return one of auth's own secrets, sealed."""
    sealed: bytes | None = await tx.value(select(own_secret.c.sealed).where(own_secret.c.name == name))
    return sealed


async def add_own_secret(tx: Transaction, name: str, sealed: bytes) -> None:
    """Keep one of auth's own secrets, unless there is one of that name."""
    values = {"tenant_id": tx.tenant_id, "name": name, "sealed": sealed, "created_at": tx.context.now}
    await tx.execute(insert(own_secret).values(values).on_conflict_do_nothing())
