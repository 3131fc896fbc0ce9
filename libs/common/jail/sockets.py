"""The meeting place of broker and jail: a directory of one user's own, a socket for each warm parent, peers that are checked."""

import os
import socket
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_BACKLOG = 16


class StrangerError(OSError):
    """Whoever owns the directory, or speaks on the socket, is another user."""


def listen(directory: Path, name: str) -> socket.socket:
    """Return a socket that listens as `name` in `directory`, which is made if it is not there.

    Raises:
        StrangerError: the directory is another user's, or open to others. OSError: it cannot be made or used.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _short(directory, name) as path:
        with suppress(FileNotFoundError):
            os.unlink(path)  # noqa: PTH108 - of one that died
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        before = os.umask(0o177)
        try:
            listener.bind(path)
        finally:
            os.umask(before)
    listener.listen(_BACKLOG)
    return listener


def connect(directory: Path, name: str) -> socket.socket:
    """Return a socket to who listens as `name` in `directory`.

    Raises:
        StrangerError: the directory or the listener is another user's. OSError: nobody listens there.
    """
    control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        control.setblocking(False)
        with _short(directory, name) as path:
            control.connect(path)  # at once or never: a full backlog refuses
        require_own_peer(control)
    except BaseException:
        control.close()
        raise
    return control


def require_own_peer(control: socket.socket) -> None:
    """Check that the other end is a process of our own user.

    Raises:
        StrangerError: it is not.
    """
    _, user, _ = struct.unpack("=iII", control.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    if user != os.geteuid():
        raise StrangerError(f"user {user} is at the other end")


@contextmanager
def _short(directory: Path, name: str) -> Iterator[str]:
    """Yield a path that fits into a socket's address, however deep the directory lies."""
    descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
            raise StrangerError(f"{directory} must belong to user {os.geteuid()} alone")
        yield f"/proc/self/fd/{descriptor}/{name}.sock"
    finally:
        os.close(descriptor)
