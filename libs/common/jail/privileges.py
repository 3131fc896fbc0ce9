"""Giving up privileges for good: no_new_privs and every capability."""

import ctypes
import os
import signal
import struct

from libs.common.jail.errors import ConfinementError

_PR_SET_PDEATHSIG, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS, _PR_GET_NO_NEW_PRIVS = 1, 24, 38, 39
_PR_SET_CHILD_SUBREAPER, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 36, 47, 4
_CAPABILITY_VERSION_3 = 0x20080522
_HIGHEST_CAPABILITY = 63

_libc = ctypes.CDLL(None, use_errno=True)


def forbid_new_privileges() -> None:
    """Set no_new_privs: nothing that this process starts can gain privileges.

    Raises:
        ConfinementError: when the kernel refuses.
    """
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    if _libc.prctl(_PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1:
        raise ConfinementError("no_new_privs did not hold")


def drop_capabilities() -> None:
    """Empty all capability sets of the calling thread; root keeps its files, nothing more.

    Raises:
        ConfinementError: when the kernel refuses.
    """
    for capability in range(_HIGHEST_CAPABILITY + 1):
        # refused without CAP_SETPCAP, or past the kernel's last one: then no_new_privs keeps the set from mattering
        _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    if _libc.capset(header, struct.pack("=6I", 0, 0, 0, 0, 0, 0)) != 0:
        raise ConfinementError(f"capset: {os.strerror(ctypes.get_errno())}")


def die_with_parent() -> None:
    """Have the kernel kill this process when the thread that started it ends."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def adopt_orphans() -> None:
    """Make this process the parent of descendants whose own parent died."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        raise ConfinementError(f"prctl {option}: {os.strerror(ctypes.get_errno())}")
