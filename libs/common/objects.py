"""The object store: datasets, definitions and artifacts, the tenant as first path segment, hashes checked on reads."""

import asyncio
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import obstore
from obstore.exceptions import NotFoundError
from obstore.store import LocalStore, ObjectStore, from_url

_CHUNK = 8 * 1024 * 1024


class ObjectMissingError(Exception):
    """The store holds no object of that key."""


class ObjectAlteredError(Exception):
    """An object's content is not what was sealed."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """A reference to content that cannot change unnoticed."""

    key: str
    sha256: str
    size: int


def tenant_key(tenant_id: UUID, *parts: str) -> str:
    """Return the key of a tenant's object; parts are plain names.

    Raises:
        ValueError: a part is empty, dotted or holds a separator.
    """
    for part in parts:
        if not part or part in (".", "..") or "/" in part or "\\" in part or "\x00" in part:
            raise ValueError(f"not a plain name: {part!r}")
    return "/".join((str(tenant_id), *parts))


def is_of(tenant_id: UUID, key: str) -> bool:
    """Say whether a key names an object of the tenant's."""
    return key.startswith(f"{tenant_id}/") and ".." not in key.split("/")


class Objects:
    """An object store at a URL: `file:///directory` or `s3://bucket/prefix` (credentials from the environment)."""

    def __init__(self, url: str) -> None:
        self._store: ObjectStore = _open(url)
        self._directory = Path(url.removeprefix("file://")) if url.startswith("file://") else None

    async def put(self, key: str, content: bytes) -> Sealed:
        """Write an object whole, durably; writing the same again is harmless."""
        await obstore.put_async(self._store, key, content)
        await self._settle(key)
        return Sealed(key, hashlib.sha256(content).hexdigest(), len(content))

    async def put_file(self, key: str, path: Path) -> Sealed:
        """Write a local file as an object, in parts, durably; returns its reference."""
        sealed = Sealed(key, *await asyncio.to_thread(hash_file, path))
        await self.put_hashed(sealed, path)
        return sealed

    async def put_hashed(self, sealed: Sealed, path: Path) -> None:
        """Write a local file, which is what `sealed` says, as that object, in parts, durably."""
        await obstore.put_async(self._store, sealed.key, path)
        await self._settle(sealed.key)

    async def _settle(self, key: str) -> None:
        """Bring a local object to the disk: the store itself leaves that to the system."""
        if self._directory is not None:
            await asyncio.to_thread(_sync, self._directory, key)

    async def get(self, key: str, sha256: str) -> bytes:
        """Read an object and check it.

        Raises:
            ObjectMissingError: there is none.
            ObjectAlteredError: the content has another hash.
        """
        try:
            answer = await obstore.get_async(self._store, key)
        except (NotFoundError, FileNotFoundError) as error:
            raise ObjectMissingError(key) from error
        content = bytes(await answer.bytes_async())
        if hashlib.sha256(content).hexdigest() != sha256:
            raise ObjectAlteredError(key)
        return content

    async def fetch(self, key: str, sha256: str, path: Path) -> None:
        """Copy an object to a local file, in parts, and check it.

        Raises:
            ObjectMissingError: there is none.
            ObjectAlteredError: the content has another hash; the file is removed.
        """
        digest = hashlib.sha256()
        try:
            answer = await obstore.get_async(self._store, key)
        except (NotFoundError, FileNotFoundError) as error:
            raise ObjectMissingError(key) from error
        with path.open("wb") as file:
            async for chunk in answer.stream(min_chunk_size=_CHUNK):
                digest.update(chunk)
                file.write(chunk)
        if digest.hexdigest() != sha256:
            path.unlink()
            raise ObjectAlteredError(key)


def _sync(directory: Path, key: str) -> None:
    path = directory / key
    # the object, its directory's entry of it, and that directory's own entry: a run's first object makes both
    for place in (path, path.parent, path.parent.parent):
        descriptor = os.open(place, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _open(url: str) -> ObjectStore:
    if url.startswith("file://"):
        return LocalStore(prefix=url.removeprefix("file://"), mkdir=True)
    return from_url(url)


def hash_bytes(content: bytes) -> str:
    """Return the SHA-256 of some bytes, in hex."""
    return hashlib.sha256(content).hexdigest()


def hash_file(path: Path) -> tuple[str, int]:
    """Return a file's SHA-256 (hex) and size in bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest(), path.stat().st_size
