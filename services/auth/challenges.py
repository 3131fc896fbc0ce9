"""Proof of work before more guesses: ALTCHA's protocol with PBKDF2, served and checked here, no third party.

A challenge is bound to an action and an account by our signature, lives five minutes, and a solution counts once. It
makes guessing dear; what limits guessing is the throttle.
"""

import asyncio
import hashlib
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from altcha import Payload, create_challenge, verify_solution

from libs.common.database.transaction import Transaction
from services.auth.store import attempts

LIFE = timedelta(minutes=5)
LONGEST_SOLUTION = 4096
_ALGORITHM, _ITERATIONS, _PREFIX = "PBKDF2/SHA-256", 5000, "00"


@dataclass(frozen=True, slots=True)
class Solved:
    """A right solution, not yet used up."""

    sha256: bytes
    expires_at: datetime


class Challenges:
    """Makes and checks challenges under a key of its own."""

    def __init__(self, pepper: bytes) -> None:
        self._key = hmac.digest(pepper, b"challenge", "sha256")

    def make(self, action: str, account: str, now: datetime) -> dict[str, Any]:
        """Return a challenge as ALTCHA's widget takes it; `account` is the mark that the refusal named."""
        data = {"action": action, "account": account}
        challenge = create_challenge(
            _ALGORITHM, _ITERATIONS, key_prefix=_PREFIX, expires_at=now + LIFE, data=data, hmac_secret=self._key
        )
        return dict(challenge.to_dict())

    async def check(self, solution: str, action: str, account: str) -> Solved | None:
        """Return a solution for this action and account, or None where it is wrong, foreign or expired."""
        if not 0 < len(solution) <= LONGEST_SOLUTION:
            return None
        return await asyncio.to_thread(self._check, solution, {"action": action, "account": account})

    def _check(self, solution: str, data: dict[str, str]) -> Solved | None:
        if not verify_solution(solution, self._key).verified:
            return None
        challenge = Payload.from_base64(solution).challenge
        if challenge.parameters.data != data or not challenge.parameters.expires_at or not challenge.signature:
            return None
        expires = datetime.fromtimestamp(challenge.parameters.expires_at, UTC)
        return Solved(hashlib.sha256(challenge.signature.encode()).digest(), expires)


async def use(tx: Transaction, solved: Solved) -> bool:
    """Use a solution up; false where it was used before."""
    return await attempts.use_challenge(tx, solved.sha256, solved.expires_at)
