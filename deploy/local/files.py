"""Private files and directories."""

import os
from pathlib import Path


def private_directory(path: Path) -> Path:
    """Create `path`, or close it to others, and return it."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.chmod(0o700)
    return path


def write_secret(path: Path, content: str | bytes) -> Path:
    """Write a file that only its owner can read, whole or not at all, and return its path."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
        file.flush()
        os.fsync(file.fileno())
    return partial.rename(path)
