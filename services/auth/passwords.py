"""Passwords: argon2id in a bounded pool of threads, never on the event loop and never inside a transaction."""

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from libs.common.errors import Unavailable

_QUEUE_PER_WORKER = 25
_NICENESS = 10
_HASHER = PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1)


def hash_password(password: str) -> str:
    """Return the argon2id hash of a normalised password; takes a tenth of a second and 19 MiB."""
    return _HASHER.hash(_bytes(password))


class Passwords:
    """Hashes and verifies; who finds the queue full is asked to come back."""

    def __init__(self, workers: int) -> None:
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="argon2", initializer=_step_back)
        self._most = workers * _QUEUE_PER_WORKER
        self._waiting = 0
        self._nobody = hash_password("the password of nobody")

    def close(self) -> None:
        """Stop the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def hash(self, password: str) -> str:
        """Return the hash of a normalised password."""
        return await self._run(hash_password, password)

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """Say whether the password is right; without a hash it is not, after the same time."""
        right = await self._run(_verify, password_hash or self._nobody, password)
        return right == "right" and bool(password_hash)

    def outdated(self, password_hash: str) -> bool:
        """Say whether a hash was made with other parameters than today's."""
        return _HASHER.check_needs_rehash(password_hash)

    async def _run(self, work: Callable[..., str], *arguments: str) -> str:
        if self._waiting >= self._most:
            raise Unavailable("Too many logins at once; try again.", retry_after=2)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work, *arguments)
        finally:
            self._waiting -= 1


def _step_back() -> None:
    """Let everything else on this machine go first: niceness is a thread's own on Linux."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)


def _verify(password_hash: str, password: str) -> str:
    try:
        _HASHER.verify(password_hash, _bytes(password))
    except (VerificationError, InvalidHashError):
        return "wrong"
    return "right"


def _bytes(password: str) -> bytes:
    return password.encode("utf-8", "surrogatepass")
