"""A house for jobs: a user, processes, a network, names and a file tree of their own, with nothing in them.

Through libc and system calls: Python 3.11 knows no `unshare`. The steps are those of user_namespaces(7) and pivot_root(2).
"""

import ctypes
import os
import socket
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

from libs.common.jail import privileges
from libs.common.jail.errors import ConfinementError

LAYERS = ("user", "pid", "network", "ipc", "uts", "mount")

_NEW_MOUNTS, _NEW_NAMES, _NEW_IPC, _NEW_USER, _NEW_PIDS, _NEW_NETWORK = (
    0x20000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000,
)  # fmt: skip
_NO_SUID, _NO_DEVICES, _NO_EXEC, _READ_ONLY, _REMOUNT, _BIND, _ALL_BELOW, _PRIVATE = (
    2,
    4,
    8,
    1,
    32,
    4096,
    16384,
    1 << 18,
)
_DETACH = 2
_MOUNT_SETATTR, _AT_RECURSIVE = 442, 0x8000
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_ATTR_READ_ONLY_NO_SUID = 1 | 2
_BASES = ("/mnt", "/tmp", "/run", "/var")  # noqa: S108 - a place to mount on, in a tree that nobody else sees
_DEVICES = ("/dev/null", "/dev/urandom", "/dev/zero")

_libc = ctypes.CDLL(None, use_errno=True)


def move_in() -> None:
    """Give this process's children namespaces of their own and go on as the first of them; the caller's process waits.

    Returns in the child, which is process 1 of its namespace; the parent leaves with its exit code.

    Raises:
        ConfinementError: the host allows no such namespaces.
    """
    user, group = os.geteuid(), os.getegid()
    _check(_libc.unshare(_NEW_USER | _NEW_PIDS | _NEW_MOUNTS | _NEW_NETWORK | _NEW_IPC | _NEW_NAMES), "unshare")
    try:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    except OSError as error:
        raise ConfinementError(f"user namespace: {error}") from error
    pid = os.fork()
    if pid:
        _, status = os.waitpid(pid, 0)
        code = os.waitstatus_to_exitcode(status)
        os._exit(code if code >= 0 else 128 - code)
    privileges.die_with_parent()
    socket.sethostname("jail")


def furnish(readable: Sequence[str]) -> None:
    """Make a tree of `readable` and three devices, all of it read-only, the root of this process; nothing else is in it.

    Raises:
        ConfinementError: the kernel refuses a step.
    """
    sources = {path: os.open(path, os.O_PATH | os.O_CLOEXEC) for path in [*readable, *_DEVICES]}
    base = next(path for path in _BASES if os.path.isdir(path))  # noqa: PTH112
    _mount(None, "/", None, _ALL_BELOW | _PRIVATE)
    _mount("tmpfs", base, "tmpfs", _NO_SUID | _NO_DEVICES, "size=4m,nr_inodes=4096,mode=755")
    for path, descriptor in sources.items():
        _put(base, path, descriptor)
    os.makedirs(f"{base}/proc", exist_ok=True)  # noqa: PTH103
    _mount("proc", f"{base}/proc", "proc", _NO_SUID | _NO_DEVICES | _NO_EXEC)
    _change_root(base)
    _mount(None, "/", None, _REMOUNT | _BIND | _READ_ONLY | _NO_SUID | _NO_DEVICES)
    for descriptor in sources.values():
        os.close(descriptor)


def _put(base: str, path: str, descriptor: int) -> None:
    target = f"{base}{path}"
    if os.path.lexists(target):
        return  # it lies below another one
    os.makedirs(os.path.dirname(target), exist_ok=True)  # noqa: PTH103, PTH120
    if os.path.isdir(f"/proc/self/fd/{descriptor}"):  # noqa: PTH112
        os.mkdir(target)  # noqa: PTH102
    else:
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o600))
    _mount(f"/proc/self/fd/{descriptor}", target, None, _BIND | _ALL_BELOW)
    attributes = struct.pack("=QQQQ", _ATTR_READ_ONLY_NO_SUID, 0, 0, 0)
    arguments = (-100, target.encode(), _AT_RECURSIVE, attributes, ctypes.c_size_t(len(attributes)))
    _check(_libc.syscall(_MOUNT_SETATTR, *arguments), f"mount_setattr {path}")


def _change_root(base: str) -> None:
    os.chdir(base)
    # old and new root in one place: the old one lies on top and is taken off
    _check(_libc.syscall(_PIVOT_ROOT[os.uname().machine], b".", b"."), "pivot_root")
    _check(_libc.umount2(b".", _DETACH), "umount2")
    os.chdir("/")


def available(readable: Sequence[str]) -> str:
    """Try everything in a process that is thrown away; return what the host refuses, or nothing."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        _try(lambda: _move_and_furnish(readable), theirs)
    os.close(theirs)
    with os.fdopen(ours, "rb") as said:
        reason = said.read(1000).decode(errors="replace")
    _, status = os.waitpid(pid, 0)
    return reason or ("" if status == 0 else "the trial ended without a word")


def _move_and_furnish(readable: Sequence[str]) -> None:
    move_in()
    furnish(readable)


def _try(attempt: Callable[[], None], say: int) -> None:
    code = 1
    try:
        attempt()
        code = 0
    except (ConfinementError, OSError, StopIteration) as error:
        os.write(say, str(error).encode()[:900] or b"refused")
    finally:
        os._exit(code)


def _mount(source: str | None, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    texts = [text.encode() if text is not None else None for text in (source, target, kind, data)]
    _check(_libc.mount(*texts[:3], ctypes.c_ulong(flags), texts[3]), f"mount {target}")


def _check(result: int, what: str) -> None:
    if result != 0:
        raise ConfinementError(f"{what}: {os.strerror(ctypes.get_errno())}")
