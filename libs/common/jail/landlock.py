"""Landlock through its three system calls: which files, ports and processes this thread may still reach."""

import ctypes
import os
import stat
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from libs.common.jail.errors import ConfinementError

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same numbers on every architecture
_PATH_BENEATH, _NET_PORT = 1, 2

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REMOVE_FILE, _MAKE_REG = 1 << 5, 1 << 8
_TRUNCATE = 1 << 14
_ALL_FILES_ABI_4 = (1 << 15) - 1
_IOCTL_DEV = 1 << 15
_BIND_TCP, _CONNECT_TCP = 1 << 0, 1 << 1
_SCOPE_ABSTRACT_UNIX, _SCOPE_SIGNAL = 1 << 0, 1 << 1

_READ = _READ_FILE | _READ_DIR
_WRITE = _WRITE_FILE | _TRUNCATE | _REMOVE_FILE | _MAKE_REG
_FILE_RIGHTS = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV

MINIMUM_ABI = 4
"""The first version that also governs TCP: without it a job could call home."""

Reachable = str | os.PathLike[str] | int
"""A path, or an open descriptor that stands for its file or directory."""

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Reach:
    """What stays reachable: paths to read, paths to read and write, TCP ports to connect to."""

    readable: Sequence[Reachable] = ()
    writable: Sequence[Reachable] = ()
    connect_ports: Sequence[int] = ()


def abi() -> int:
    """Return the kernel's Landlock version, 0 where there is none."""
    version = _libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    return max(0, int(version))


def begin(readable: Sequence[Reachable] = ()) -> int:
    """Return the descriptor of rules that let nothing through but reading `readable`; they bind nobody yet.

    Raises:
        ConfinementError: when the kernel has no Landlock of version 4 or refuses a rule.
    """
    version = abi()
    if version < MINIMUM_ABI:
        raise ConfinementError(f"Landlock version {version} is too old: at least {MINIMUM_ABI} is required")
    ruleset = _ruleset(version)
    for path in readable:
        _allow_path(ruleset, path, _READ)
    return ruleset


def restrict(reach: Reach, begun: int | None = None) -> tuple[str, ...]:
    """Confine the calling thread to `reach` for good and name the layers that this kernel gave.

    no_new_privs must be set before. Where rules were `begun`, they count too, and are closed.

    Raises:
        ConfinementError: when the kernel has no Landlock of version 4 or refuses a rule.
    """
    ruleset = begin() if begun is None else begun
    try:
        for path in reach.readable:
            _allow_path(ruleset, path, _READ)
        for path in reach.writable:
            _allow_path(ruleset, path, _READ | _WRITE)
        for port in reach.connect_ports:
            _add_rule(ruleset, _NET_PORT, struct.pack("=QQ", _CONNECT_TCP, port))
        _call("landlock_restrict_self", _RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)
    return ("files", "tcp", "scope") if abi() >= 6 else ("files", "tcp")  # noqa: PLR2004 - the ABI with scopes


def _ruleset(version: int) -> int:
    files = _ALL_FILES_ABI_4 | (_IOCTL_DEV if version >= 5 else 0)  # noqa: PLR2004 - the ABI with ioctl
    attributes = struct.pack("=QQ", files, _BIND_TCP | _CONNECT_TCP)
    if version >= 6:  # noqa: PLR2004
        attributes += struct.pack("=Q", _SCOPE_ABSTRACT_UNIX | _SCOPE_SIGNAL)
    return _call("landlock_create_ruleset", _CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0)


def _allow_path(ruleset: int, path: Reachable, rights: int) -> None:
    try:
        descriptor = path if isinstance(path, int) else os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError as error:
        raise ConfinementError(f"cannot allow {path}: {error.strerror}") from error
    try:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            rights &= _FILE_RIGHTS
        if not _is_anonymous(descriptor):
            _add_rule(ruleset, _PATH_BENEATH, struct.pack("=Qi", rights, descriptor))
    finally:
        if not isinstance(path, int):
            os.close(descriptor)


def _is_anonymous(descriptor: int) -> bool:
    # memfds, pipes and sockets lie in no directory: Landlock neither governs them nor takes rules about them
    target = str(Path(f"/proc/self/fd/{descriptor}").readlink())
    return target.startswith("/memfd:") or not target.startswith("/")


def _add_rule(ruleset: int, kind: int, rule: bytes) -> None:
    _call("landlock_add_rule", _ADD_RULE, ruleset, kind, rule, 0)


def _call(name: str, number: int, *arguments: object) -> int:
    result = int(_libc.syscall(number, *arguments))
    if result < 0:
        raise ConfinementError(f"{name}: {os.strerror(ctypes.get_errno())}")
    return result


def existing(paths: Iterable[str]) -> list[str]:
    """Return those of `paths` that exist: a rule can only name what is there."""
    return [path for path in paths if os.path.lexists(path)]
