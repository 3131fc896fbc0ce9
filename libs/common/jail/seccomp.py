"""A filter of system calls: what confined work does not need is refused, and what only attacks need kills it.

The program is classic BPF over `struct seccomp_data` (seccomp(2)): number at 0, architecture at 4, arguments from 16.
"""

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Iterator, Sequence

from libs.common.jail import calls
from libs.common.jail.errors import ConfinementError

_PR_SET_SECCOMP, _MODE_FILTER = 22, 2
_LOAD, _JUMP_EQUAL, _JUMP_AT_LEAST, _JUMP_ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _REFUSE = 0x7FFF0000, 0x80000000, 0x00050000
_NUMBER, _ARCHITECTURE = 0, 4
_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_FOREIGN_TABLE = 0x40000000  # x32 numbers on x86_64

_PROT_EXEC, _MAP_ANONYMOUS, _PUNCH_HOLE = 4, 0x20, 2
# F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_GETLK, F_SETLK, F_SETLKW, F_OFD_*, F_DUPFD_CLOEXEC, F_GETPIPE_SZ, F_GET_SEALS:
# no larger pipes, whose memory is nobody's, and no signals to owners of files
_FCNTL = (0, 1, 2, 3, 4, 5, 6, 7, 36, 37, 38, 1030, 1032, 1034)
_IOCTL = (0x5401, 0x5413, 0x541B, 0x5421, 0x5451, 0x5450)  # TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIOCLEX, FIONCLEX
# an event loop wakes itself through a pair of its own; TCP_NODELAY, TCP_KEEPIDLE and the like, SO_KEEPALIVE
_PAIRS, _SOCKET_OPTIONS = (1,), (1, 4, 5, 6, 9)
_CLONE_FILES, _CLONE_THREAD = 0x400, 0x10000
_CLONE_NEW = 0x7E020080  # every CLONE_NEW* flag
# PR_SET_NAME, PR_GET_NAME, PR_SET_VMA, as thread pools and allocators do, and PR_GET_NO_NEW_PRIVS
_NAMES = (15, 16, 0x53564D41, 39)

_libc = ctypes.CDLL(None, use_errno=True)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def restrict(*, maps: bool = True) -> None:
    """Install the filter for this process for good, with or without maps of files; no_new_privs must be set before.

    Raises:
        ConfinementError: the architecture is unknown or the kernel refuses.
    """
    machine = _machine()
    judging = _judge(calls.judged(machine), os.getpid(), maps=maps)
    _install(b"".join(judging), _ALLOWING[machine], _KILLING[machine])


def forbid_contacts(*, programs: bool = False) -> None:
    """Take from this process and its children, for good: making connections, others' memory, and, unless `programs`, exec.

    What only attacks need is refused as well, but for namespaces and mounts, which a warm parent sets up.

    Raises:
        ConfinementError: the architecture is unknown or the kernel refuses.
    """
    machine = _machine()
    numbers = calls.contacts(machine) | ({} if programs else calls.programs(machine))
    needed = calls.deadly(machine).keys() - calls.PARENTAL
    numbers |= {name: number for name, number in calls.deadly(machine).items() if name in needed}
    refusing = b"".join(part for number in numbers.values() for part in _on(number, _return(_REFUSE | errno.EPERM)))
    _install(refusing, _return(_ALLOW))


def _machine() -> str:
    machine = platform.machine()
    if machine not in calls.MACHINES:
        raise ConfinementError(f"no filter of system calls is known for {machine}")
    return machine


def _install(*parts: bytes) -> None:
    code = b"".join((*_opening(platform.machine()), *parts))
    program = _Program(len(code) // 8, code)
    if _libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(program), 0, 0) != 0:
        raise ConfinementError(f"seccomp: {os.strerror(ctypes.get_errno())}")


def _opening(machine: str) -> Iterator[bytes]:
    """Kill what comes by another architecture's table; load the number."""
    yield _load(_ARCHITECTURE)
    yield _jump(_JUMP_EQUAL, _ARCHITECTURES[machine], 1, 0)
    yield _return(_KILL)
    yield _load(_NUMBER)
    if machine == "x86_64":
        yield _jump(_JUMP_AT_LEAST, _FOREIGN_TABLE, 0, 1)
        yield _return(_KILL)


def _allowing(machine: str) -> Iterator[bytes]:
    for number in calls.allowed(machine).values():
        yield from _on(number, _return(_ALLOW))


def _killing(machine: str) -> Iterator[bytes]:
    for number in calls.deadly(machine).values():
        yield from _on(number, _return(_KILL))
    yield _return(_REFUSE | errno.EPERM)


def _judge(numbers: dict[str, int], pid: int, *, maps: bool) -> Iterator[bytes]:
    """Allow memory without code, threads but no processes, signals to oneself, reading own limits, naming threads.

    Files shrink as one likes and grow by being written, which is what counts against a limit.
    """
    refuse, allow = _return(_REFUSE | errno.EPERM), _return(_ALLOW)
    without_code = _argument(2), _jump(_JUMP_ANY_BIT, _PROT_EXEC, 0, 1), refuse
    of_no_file = () if maps else (_argument(3), _jump(_JUMP_ANY_BIT, _MAP_ANONYMOUS, 1, 0), refuse)
    yield from _on(numbers["mmap"], *without_code, *of_no_file, allow)
    yield from _on(numbers["mprotect"], *without_code, allow)
    unsupported = _return(_REFUSE | errno.EOPNOTSUPP)  # libc then writes
    yield from _on(numbers["fallocate"], _argument(1), _jump(_JUMP_ANY_BIT, _PUNCH_HOLE, 1, 0), unsupported, allow)
    listed = (("fcntl", 1, _FCNTL), ("ioctl", 1, _IOCTL), ("socketpair", 0, _PAIRS), ("setsockopt", 2, _SOCKET_OPTIONS))
    for name, place, values in listed:
        yield from _on(numbers[name], _argument(place), *_among(values), refuse, allow)
    yield from _on(numbers["clone3"], _return(_REFUSE | errno.ENOSYS))  # libc then uses clone, whose flags can be read
    yield from _on(
        numbers["clone"],
        _argument(0),
        _jump(_JUMP_ANY_BIT, _CLONE_NEW, 2, 0),
        _jump(_JUMP_ANY_BIT, _CLONE_THREAD, 0, 1),
        _jump(_JUMP_ANY_BIT, _CLONE_FILES, 1, 0),
        refuse,
        allow,
    )
    yield from _on(numbers["tgkill"], _argument(0), _jump(_JUMP_EQUAL, pid, 1, 0), refuse, allow)
    own = _argument(0), _jump(_JUMP_EQUAL, 0, 2, 0), _jump(_JUMP_EQUAL, pid, 1, 0), refuse
    yield from _on(numbers["prlimit64"], *own, *_without(2), refuse, allow)
    yield from _on(
        numbers["sendto"], *_without(4), refuse, allow
    )  # an address would be anybody's: of sockets in a path too
    yield from _on(numbers["prctl"], _argument(0), *_among(_NAMES), refuse, allow)


def _without(place: int) -> tuple[bytes, ...]:
    """Skip one instruction where an argument, a pointer, is none: what follows is the refusal, then the permission."""
    is_none = _jump(_JUMP_EQUAL, 0, 0, 2), _jump(_JUMP_EQUAL, 0, 1, 0)
    return _argument(place), is_none[0], _argument(place, high=True), is_none[1]


def _among(values: Sequence[int]) -> list[bytes]:
    """Skip one instruction where the value is one of these: what follows is the refusal, then the permission."""
    return [_jump(_JUMP_EQUAL, value, len(values) - place, 0) for place, value in enumerate(values)]


def _on(number: int, *then: bytes) -> Iterator[bytes]:
    """Do `then`, which ends in a verdict, where the call is `number`."""
    yield _jump(_JUMP_EQUAL, number, 0, len(then))
    yield from then


def _argument(place: int, *, high: bool = False) -> bytes:
    return _load(16 + 8 * place + 4 * high)


def _load(offset: int) -> bytes:
    return struct.pack("=HBBI", _LOAD, 0, 0, offset)


def _jump(kind: int, value: int, if_true: int, if_false: int) -> bytes:
    return struct.pack("=HBBI", kind, if_true, if_false, value)


def _return(verdict: int) -> bytes:
    return struct.pack("=HBBI", _RETURN, 0, 0, verdict)


# made once, before the fork: only what is judged by arguments names the process
_ALLOWING = {machine: b"".join(_allowing(machine)) for machine in calls.MACHINES}
_KILLING = {machine: b"".join(_killing(machine)) for machine in calls.MACHINES}
