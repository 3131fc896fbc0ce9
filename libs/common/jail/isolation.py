"""Which layers hold a job: required by configuration, found on this host, never guessed."""

import ctypes
import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from libs.common.jail import landlock, namespaces
from libs.common.jail.errors import ConfinementError

Isolation = Literal["auto", "namespaces", "runtimeclass"]
"""`auto`: the portable tier, and namespaces where the host has them. `namespaces`: both. `runtimeclass`: gVisor's kernel."""

PORTABLE = frozenset({"environment", "descriptors", "no_new_privs", "rlimits", "files", "tcp", "capabilities", "calls"})
"""What holds a job wherever it runs: Linux 6.7 and newer give all of it, to anybody, in any container."""
_LANDLOCK = frozenset({"files", "tcp"})
REQUIRED: dict[Isolation, frozenset[str]] = {
    "auto": PORTABLE,
    "namespaces": PORTABLE | frozenset(namespaces.LAYERS),
    "runtimeclass": PORTABLE - _LANDLOCK | {"gvisor"},
}
LAYERS = PORTABLE | frozenset(namespaces.LAYERS) | {"scope", "gvisor"}
"""Every layer that there is, by name."""

_SYSLOG_READ_ALL, _LOG_BYTES = 3, 1 << 16


@dataclass(frozen=True, slots=True)
class House:
    """What a warm parent gives all its children: paths that they may read, the layers that hold it and so them too."""

    readable: tuple[str, ...]
    layers: tuple[str, ...] = ()

    @property
    def landlock(self) -> bool:
        """Whether files and ports are governed by Landlock, not by another kernel's boundary."""
        return "gvisor" not in self.layers


def layers_of(isolation: Isolation | None, readable: Sequence[str]) -> tuple[str, ...]:
    """Return the layers that a warm parent has to put on for its house; None asks for no house.

    Raises:
        ConfinementError: what is configured, or what every tier needs, is not to be had here.
    """
    if isolation == "runtimeclass":
        attest_gvisor(kernel_log(), landlock.abi())
        return ("gvisor",)
    if landlock.abi() < landlock.MINIMUM_ABI:
        raise ConfinementError(f"Landlock version {landlock.abi()}: at least {landlock.MINIMUM_ABI} is required")
    refused = "not asked for" if isolation is None else namespaces.available(readable)
    if refused and isolation == "namespaces":
        raise ConfinementError(f"namespaces are required and cannot be had: {refused}")
    return () if refused else namespaces.LAYERS


def attest_gvisor(log: bytes, landlock_version: int) -> None:
    """Check that this is gVisor's kernel: it says so in its log, and has no Landlock.

    Raises:
        ConfinementError: it is another.
    """
    if b"gVisor" not in log or landlock_version:
        raise ConfinementError("isolation is set to runtimeclass, but this kernel is not gVisor's")


def kernel_log() -> bytes:
    """Return the kernel's log; empty where it may not be read, as in containers of an ordinary kernel."""
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(_LOG_BYTES)
    size = libc.klogctl(_SYSLOG_READ_ALL, buffer, _LOG_BYTES)
    if size < 0 and ctypes.get_errno() not in (errno.EPERM, errno.ENOSYS):
        raise ConfinementError(f"kernel log: {os.strerror(ctypes.get_errno())}")
    return buffer.raw[: max(0, size)]
