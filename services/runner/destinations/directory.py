"""Artifacts into a directory below an operator-declared root: whole files or none, twice is once."""

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from libs.common.vocabulary.base import Strict
from services.runner.engines.errors import DeliveryError

_NAME = re.compile(r"[^/\\\x00-\x1f\x7f]{1,200}")
_CHUNK = 1024 * 1024
_WALK = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class DirectoryReceipt(Strict):
    """Proof of a delivery: the file's name, relative to the root, its size in bytes, its SHA-256 in hex."""

    path: str
    size: int
    sha256: str


def deliver_to_directory(root: Path, path: str, name: str, artifact: Path, sha256: str) -> DirectoryReceipt:
    """Put `artifact` as `name` into the directory `path` below `root`, made if absent.

    Written beside its place, synced, renamed, the directory synced: a reader sees the whole file or none. A file that is
    there with the same content is left alone; one with other content is replaced. A link below the root is refused.

    Raises:
        DeliveryError: `name-refused`, `path-refused`, `content-mismatch` when the artifact is not what its hash says, or
            `directory-failed` (retryable) for disk trouble.
    """
    parts = _checked_parts(path)
    if not _NAME.fullmatch(name) or name in (".", "..") or name.startswith(".regent-"):
        raise DeliveryError("name-refused", f"{name!r} is not a name for a file.")
    receipt = DirectoryReceipt(path=str(PurePosixPath(*parts, name)), size=artifact.stat().st_size, sha256=sha256)
    try:
        with _directory(root, parts) as directory:
            if _hash_at(directory, name) != sha256:
                _write(directory, name, artifact, sha256)
    except OSError as error:
        text = f"The directory {path!r} could not take {name!r}: {error.strerror}."
        raise DeliveryError("directory-failed", text, retryable=True) from error
    return receipt


def _checked_parts(path: str) -> tuple[str, ...]:
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or "\0" in path:
        raise DeliveryError("path-refused", f"The path {path!r} does not stay below its root.")
    return pure.parts


@contextmanager
def _directory(root: Path, parts: tuple[str, ...]) -> Iterator[int]:
    """Open the directory part by part from the root's descriptor; a link among the parts is refused by the kernel."""
    current = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts:
            with suppress(FileExistsError):
                os.mkdir(part, 0o750, dir_fd=current)
                os.fsync(current)
            inner = os.open(part, _WALK, dir_fd=current)
            os.close(current)
            current = inner
        yield current
    finally:
        os.close(current)


def _hash_at(directory: int, name: str) -> str | None:
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _write(directory: int, name: str, artifact: Path, sha256: str) -> None:
    # named by its content: two workers that deliver the same artifact write the same bytes
    temporary = f".regent-{sha256[:32]}-{os.getpid()}.part"
    try:
        _copy_synced(directory, temporary, artifact, sha256)
        os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=directory)
        raise
    os.fsync(directory)


def _copy_synced(directory: int, temporary: str, artifact: Path, sha256: str) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    digest = hashlib.sha256()
    descriptor = os.open(temporary, flags, 0o640, dir_fd=directory)
    with os.fdopen(descriptor, "wb") as target, artifact.open("rb") as source:
        while chunk := source.read(_CHUNK):
            digest.update(chunk)
            target.write(chunk)
        if digest.hexdigest() != sha256:
            raise DeliveryError("content-mismatch", "The artifact's bytes are not the ones that its hash names.")
        target.flush()
        os.fsync(target.fileno())
