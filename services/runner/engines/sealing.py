"""Sealed files: what a step leaves behind, named by its content."""

import hashlib
from pathlib import Path

from libs.common.vocabulary.base import Strict


class SealedFile(Strict):
    """A finished file: where it is, its rows, its size in bytes and the SHA-256 of its bytes, in hex."""

    path: Path
    rows: int
    size: int
    sha256: str


class Extract(SealedFile):
    """A sealed extract; `column_types` gives each field's DuckDB type in the file."""

    column_types: dict[str, str]


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of the file's bytes, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def seal(path: Path, rows: int) -> SealedFile:
    """Describe the finished file at `path`."""
    return SealedFile(path=path, rows=rows, size=path.stat().st_size, sha256=sha256_of(path))
