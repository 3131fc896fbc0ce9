"""Programs that the launcher runs, and what it takes to start one that cannot outlive it."""

import asyncio
import contextlib
import ctypes
import os
import signal
import socket
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
LONGEST_LINE = 1 << 20


@dataclass(frozen=True, slots=True)
class Program:
    """One child process: how to start it, how to tell that it serves, how to stop it."""

    name: str
    command: tuple[str, ...]
    ready: Callable[[], Awaitable[bool]]
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    stop_signal: signal.Signals = signal.SIGTERM
    user: int | None = None
    directory: Path | None = None
    explain: Callable[[], Awaitable[str]] | None = None
    """Says why it does not serve yet, for the message that gives it up."""


def binary(name: str) -> Path:
    """Return the executable `name` that a package installed beside this interpreter.

    Raises:
        FileNotFoundError: the package is not installed in this environment.
    """
    path = Path(sys.executable).parent / name
    if not path.exists():
        raise FileNotFoundError(f"{name} is missing beside {sys.executable}: run `make setup`")
    return path


def minimal_environment() -> dict[str, str]:
    """Return the few variables every child gets; nothing else of ours reaches it."""
    kept = ("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR")
    return {name: os.environ[name] for name in kept if name in os.environ}


def free_port() -> int:
    """Return a loopback TCP port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def port_is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Tell whether a server could listen on `port` now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


async def spawn(program: Program) -> Process:
    """Start the program in a session of its own; on Linux the kernel stops it when we die."""
    launcher = os.getpid()

    def tie_to_launcher() -> None:
        if _LIBC is not None:
            _LIBC.prctl(_PR_SET_PDEATHSIG, int(program.stop_signal), 0, 0, 0)
            if os.getppid() != launcher:
                os._exit(1)

    return await asyncio.create_subprocess_exec(
        *program.command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=PIPE,
        stderr=STDOUT,
        env={**minimal_environment(), **program.environment},
        cwd=program.directory,
        start_new_session=True,
        user=program.user,
        group=program.user,
        extra_groups=None if program.user is None else [],
        limit=LONGEST_LINE,
        preexec_fn=tie_to_launcher,
    )


def kill_group(pid: int, sig: signal.Signals) -> None:
    """Send `sig` to the session that `spawn` gave the child; a session already gone is fine."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, sig)


async def listens(port: int, host: str = "127.0.0.1") -> bool:
    """Tell whether something accepts TCP connections on `port`."""
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(host, port), 1.0)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True
