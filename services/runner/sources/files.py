"""Files below an operator-declared root."""

import os
import stat
from pathlib import Path, PurePosixPath

from services.runner.engines.errors import SourceError

_WALK = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def open_below(root: Path, relative: str) -> int:
    """Open the regular file `relative` below `root` for reading and return its descriptor.

    Each part is opened from its parent's descriptor without following links, so neither `..` nor a symbolic link,
    however it is swapped in, leads out of the root.

    Raises:
        SourceError: `path-refused`, `file-missing` or `file-unreadable`.
    """
    parts = safe_parts(relative)
    try:
        directory = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise SourceError("root-missing", f"The declared root cannot be opened: {error.strerror}.") from error
    try:
        for part in parts[:-1]:
            directory = _replace(directory, os.open(part, _WALK, dir_fd=directory))
        return _open_regular(parts[-1], directory, relative)
    except OSError as error:
        raise _refusal(error, relative) from error
    finally:
        os.close(directory)


def safe_parts(relative: str) -> tuple[str, ...]:
    """Split a relative path into its parts; absolute paths and `..` are refused.

    Raises:
        SourceError: `path-refused`.
    """
    path = PurePosixPath(relative)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in relative:
        raise SourceError("path-refused", f"The path {relative!r} does not stay below its root.")
    return path.parts


def _replace(old: int, new: int) -> int:
    os.close(old)
    return new


def _open_regular(name: str, directory: int, relative: str) -> int:
    # O_NONBLOCK: a named pipe would wait for its writer
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise SourceError("path-refused", f"{relative!r} is not a regular file.")
    return descriptor


def _refusal(error: OSError, relative: str) -> SourceError:
    if isinstance(error, FileNotFoundError):
        return SourceError("file-missing", f"There is no file {relative!r} below the root.", retryable=True)
    if isinstance(error, PermissionError):
        return SourceError("file-unreadable", f"The file {relative!r} may not be read.")
    return SourceError("path-refused", f"The path {relative!r} leads through a link or is not a file.")
