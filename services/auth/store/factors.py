"""Second factors, recovery codes, and logins between their two steps."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from libs.common.database.transaction import Row, Transaction
from services.auth.passkeys import Registered

_OF = "SELECT * FROM second_factor WHERE identity_id = $1 ORDER BY created_at, id"
_LOCK = "SELECT 1 FROM identity WHERE id = $1 FOR NO KEY UPDATE"
_ADD_TOTP = """
INSERT INTO second_factor (id, identity_id, kind, name, sealed, created_at) VALUES ($1, $2, 'totp', $3, $4, $5)
"""
_ADD_PASSKEY = """
INSERT INTO second_factor (id, identity_id, kind, name, credential, public_key, sign_count, created_at)
VALUES ($1, $2, 'passkey', $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING RETURNING true
"""
_SIGNED = "UPDATE second_factor SET sign_count = $2 WHERE id = $1"
_ASK = "UPDATE pending_login SET challenge = $2 WHERE sha256 = $1"
_REMOVE = "DELETE FROM second_factor WHERE identity_id = $1 AND id = $2 RETURNING kind, confirmed_at"
_REMOVE_UNCONFIRMED = "DELETE FROM second_factor WHERE identity_id = $1 AND kind = 'totp' AND confirmed_at IS NULL"
_USE_STEP = "UPDATE second_factor SET last_step = $2 WHERE id = $1 AND last_step < $2 RETURNING true"
_CONFIRM = "UPDATE second_factor SET confirmed_at = $2 WHERE id = $1"
_FORGET_CODES = "DELETE FROM recovery_code WHERE identity_id = $1"
_ADD_CODES = "INSERT INTO recovery_code (identity_id, mark) SELECT $1, mark FROM unnest($2::bytea[]) AS given (mark)"
_USE_CODE = """
UPDATE recovery_code SET used_at = $3 WHERE identity_id = $1 AND mark = $2 AND used_at IS NULL RETURNING true
"""
_CODES_LEFT = "SELECT count(*) FROM recovery_code WHERE identity_id = $1 AND used_at IS NULL"
_ADD_PENDING = (
    "INSERT INTO pending_login (sha256, identity_id, chosen, expires_at, upstream_id) VALUES ($1, $2, $3, $4, $5)"
)
_FIND_PENDING = """
SELECT p.identity_id, p.chosen, p.challenge, p.upstream_id, i.email, i.password_hash IS NOT NULL AS has_password FROM pending_login p JOIN identity i ON i.id = p.identity_id
WHERE p.sha256 = $1 AND p.expires_at > $2 AND p.used_at IS NULL
"""
_USE_PENDING = "UPDATE pending_login SET used_at = $2 WHERE sha256 = $1 AND used_at IS NULL RETURNING true"
_TIDY = "DELETE FROM pending_login WHERE expires_at < $1"


async def of_person(tx: Transaction, identity: UUID, *, lock: bool = False) -> Sequence[Row]:
    """Return a person's factors, confirmed or not, oldest first; `lock` keeps others from changing them."""
    if lock:
        await tx.connection.execute(_LOCK, identity)
    rows: Sequence[Row] = await tx.connection.fetch(_OF, identity)
    return rows


async def add_totp(tx: Transaction, id: UUID, identity: UUID, name: str, sealed: bytes) -> None:  # noqa: A002
    """Add an authenticator app that is not yet confirmed, in place of others that never were."""
    await tx.connection.execute(_REMOVE_UNCONFIRMED, identity)
    await tx.connection.execute(_ADD_TOTP, id, identity, name, sealed, tx.context.now)


async def add_passkey(tx: Transaction, id: UUID, identity: UUID, name: str, made: Registered) -> bool:  # noqa: A002
    """Add a passkey; false where somebody has it already."""
    values = (id, identity, name, made.credential, made.public_key, made.sign_count, tx.context.now)
    return bool(await tx.connection.fetchval(_ADD_PASSKEY, *values))


async def note_signed(tx: Transaction, id: UUID, sign_count: int) -> None:  # noqa: A002
    """Keep a passkey's counter."""
    await tx.connection.execute(_SIGNED, id, sign_count)


async def ask(tx: Transaction, sha256: bytes, challenge: bytes) -> None:
    """Keep what a pending login's passkey has to sign."""
    await tx.connection.execute(_ASK, sha256, challenge)


async def remove(tx: Transaction, identity: UUID, id: UUID) -> Row | None:  # noqa: A002
    """Remove a factor; returns what it was, or None where the person has no such factor."""
    row: Row | None = await tx.connection.fetchrow(_REMOVE, identity, id)
    return row


async def use_step(tx: Transaction, id: UUID, step: int) -> bool:  # noqa: A002
    """Use a time step up; false where it was used, or a later one."""
    return bool(await tx.connection.fetchval(_USE_STEP, id, step))


async def confirm(tx: Transaction, id: UUID) -> None:  # noqa: A002
    """Let a factor count from now on."""
    await tx.connection.execute(_CONFIRM, id, tx.context.now)


async def replace_codes(tx: Transaction, identity: UUID, marks: Sequence[bytes]) -> None:
    """Give a person other recovery codes; the earlier ones end."""
    await tx.connection.execute(_FORGET_CODES, identity)
    await tx.connection.execute(_ADD_CODES, identity, marks)


async def use_code(tx: Transaction, identity: UUID, mark: bytes) -> bool:
    """Use a recovery code up; false where there is none or it was used."""
    return bool(await tx.connection.fetchval(_USE_CODE, identity, mark, tx.context.now))


async def codes_left(tx: Transaction, identity: UUID) -> int:
    """Return how many recovery codes a person has."""
    left: int = await tx.connection.fetchval(_CODES_LEFT, identity)
    return left


async def add_pending(
    tx: Transaction, sha256: bytes, identity: UUID, tenant: UUID, expires: datetime, upstream_id: UUID | None = None
) -> None:
    """Keep a login between its two steps; `upstream_id` is by which link its first step came."""
    await tx.connection.execute(_ADD_PENDING, sha256, identity, tenant, expires, upstream_id)


async def find_pending(tx: Transaction, sha256: bytes) -> Row | None:
    """Return a login between its two steps, or None where it is unknown, used or expired."""
    row: Row | None = await tx.connection.fetchrow(_FIND_PENDING, sha256, tx.context.now)
    return row


async def use_pending(tx: Transaction, sha256: bytes) -> bool:
    """Use a login's first step up; false where somebody else did."""
    return bool(await tx.connection.fetchval(_USE_PENDING, sha256, tx.context.now))


async def tidy(tx: Transaction) -> None:
    """Forget logins that never came to their second step."""
    await tx.connection.execute(_TIDY, tx.context.now)
