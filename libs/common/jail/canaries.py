"""Attacks that a healthy jail refuses, tried in real children before anybody's code is let in."""

import ctypes
import mmap
import os
import platform
import signal
import socket
from collections.abc import Callable

from libs.common.jail import calls

DEADLY = ("ptrace", "unshare", "process_vm_readv")
"""Attempts that must end their process by SIGSYS; each needs a child of its own."""
ENDED = -signal.SIGSYS


def attempt_all() -> dict[str, bool]:
    """Try each attack and tell by name whether it took effect."""
    return {name: _took_effect(attack) for name, attack in ATTACKS.items()}


def die(name: str) -> dict[str, bool]:
    """Make the system call `name`; returns only where the jail is broken."""
    number = calls.deadly(platform.machine())[name]
    ctypes.CDLL(None).syscall(ctypes.c_long(number), *[ctypes.c_long(0)] * 6)
    return {name: True}


def _took_effect(attack: Callable[[], object]) -> bool:
    try:
        return bool(attack())
    except (OSError, ValueError, MemoryError):
        return False


def _read(path: str) -> bool:
    with open(path, "rb") as file:  # noqa: PTH123 - the plainest way, as an attacker's
        return bool(file.read(1))


def _write() -> bool:
    path = f"/dev/shm/canary-{os.getpid()}"  # noqa: S108 - it must not be possible
    with open(path, "wb") as file:  # noqa: PTH123
        file.write(b"x")
    os.unlink(path)  # noqa: PTH108
    return True


def _socket() -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        return made.fileno() >= 0


def _connect() -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as outside:
        try:
            outside.connect(("127.0.0.1", 9))
        except ConnectionRefusedError:
            return True  # it was asked
    return True


def _fork() -> bool:
    if os.fork() == 0:
        os._exit(0)
    return True


def _execute() -> bool:
    os.execv("/bin/true", ["true"])  # noqa: S606 - it must not be possible


def _signal_parent() -> bool:
    os.kill(os.getppid() or 1, 0)
    return True


def _executable_memory() -> bool:
    mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()
    return True


def _memory_file() -> bool:
    os.close(os.memfd_create("canary"))
    return True


def _shared_memory() -> bool:
    return int(ctypes.CDLL(None, use_errno=True).shmget(0, 4096, 0o1600)) >= 0


ATTACKS: dict[str, Callable[[], object]] = {
    "read /etc/passwd": lambda: _read("/etc/passwd"),
    "read the parent's environment": lambda: _read(f"/proc/{os.getppid() or 1}/environ"),
    "read the parent's memory": lambda: _read(f"/proc/{os.getppid() or 1}/maps"),
    "write outside": _write,
    "open a socket": _socket,
    "connect to loopback": _connect,
    "fork": _fork,
    "execute a program": _execute,
    "signal the parent": _signal_parent,
    "map executable memory": _executable_memory,
    "make a memory file": _memory_file,
    "make shared memory": _shared_memory,
}
OF_FILES = frozenset({"read /etc/passwd", "write outside"})
"""What only Landlock refuses: where another kernel is the boundary, the files are the container's own, without a secret."""
