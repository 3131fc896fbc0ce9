"""Jobs that the jail's tests run: what well-behaved, clumsy and hostile code would do."""

import ctypes
import itertools
import mmap
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.jail import hoarders


def run(job: dict[str, Any], files: Sequence[int]) -> Any:
    """Do what the job names."""
    return ACTS[job["act"]](job, files)


def _attempt(function: Callable[[], Any]) -> str:
    try:
        function()
    except OSError as error:
        return type(error).__name__
    return "done"


def _connect(job: dict[str, Any], files: Sequence[int]) -> str:
    return _attempt(lambda: socket.socket(socket.AF_INET).connect(("127.0.0.1", job["port"])))


def _bind(job: dict[str, Any], files: Sequence[int]) -> str:
    return _attempt(lambda: socket.socket(socket.AF_INET).bind(("127.0.0.1", 0)))


def _abstract(job: dict[str, Any], files: Sequence[int]) -> str:
    return _attempt(lambda: socket.socket(socket.AF_UNIX).connect("\0" + job["name"]))


def _read(job: dict[str, Any], files: Sequence[int]) -> str:
    return _attempt(lambda: Path(job["path"]).read_bytes())


def _write(job: dict[str, Any], files: Sequence[int]) -> str:
    return _attempt(lambda: Path(job["path"]).write_bytes(b"x"))


def _execute(job: dict[str, Any], files: Sequence[int]) -> str:
    return _attempt(lambda: subprocess.run([job["path"]], check=True))  # noqa: S603 - the point of it


def _kill(job: dict[str, Any], files: Sequence[int]) -> str:
    return _attempt(lambda: os.kill(job["pid"], signal.SIGKILL))


def _reopen(job: dict[str, Any], files: Sequence[int]) -> list[str]:
    return [Path(f"/proc/self/fd/{file}").read_text() for file in files]


def _reopen_to_write(job: dict[str, Any], files: Sequence[int]) -> str:
    return _attempt(lambda: Path(f"/proc/self/fd/{files[0]}").write_text("changed"))


def _below(job: dict[str, Any], files: Sequence[int]) -> str:
    return _attempt(lambda: Path(f"/proc/self/fd/{files[0]}/new").write_text("new"))


def _look_around(job: dict[str, Any], files: Sequence[int]) -> dict[str, Any]:
    open_files = [number for number in range(1024) if _is_open(number)]
    return {"environment": dict(os.environ), "open": open_files, "files": list(files), "pid": os.getpid()}


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def _memory(job: dict[str, Any], files: Sequence[int]) -> int:
    return len(bytearray(job["bytes"]))


def _hold(job: dict[str, Any], files: Sequence[int]) -> int:
    """Take memory, and keep it to the end, which comes late or at once."""
    kept = bytearray(job["bytes"])
    for place in range(0, len(kept), mmap.PAGESIZE):
        kept[place] = 1
    sys.kept_to_the_end = kept  # type: ignore[attr-defined]
    time.sleep(job["seconds"])
    return os.getpid()


def _see(job: dict[str, Any], files: Sequence[int]) -> bool:
    return os.path.lexists(f"/proc/{job['pid']}")


def _spin(job: dict[str, Any], files: Sequence[int]) -> None:
    signal.signal(signal.SIGXCPU, signal.SIG_IGN if job.get("stubborn") else signal.SIG_DFL)
    while True:
        pass


def _sleep(job: dict[str, Any], files: Sequence[int]) -> None:
    time.sleep(job["seconds"])


def _breed(job: dict[str, Any], files: Sequence[int]) -> None:
    """Leave a child behind that would outlive the job, in a session of its own."""
    if os.fork() == 0:
        os.setsid()
        time.sleep(600)


def _crash(job: dict[str, Any], files: Sequence[int]) -> None:
    ctypes.string_at(0)


def _gather_threads(job: dict[str, Any], files: Sequence[int]) -> int:
    """Begin threads with little of a stack; they stay for a while."""
    threading.stack_size(64 << 10)
    for _ in range(job["count"]):
        threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
    time.sleep(0.2 if job["count"] < 512 else 600)
    return threading.active_count()


def _exit(job: dict[str, Any], files: Sequence[int]) -> None:
    os._exit(job["code"])


def _raise(job: dict[str, Any], files: Sequence[int]) -> None:
    raise ValueError(job["message"])


def _big(job: dict[str, Any], files: Sequence[int]) -> str:
    return "x" * job["bytes"]


def _fill(job: dict[str, Any], files: Sequence[int]) -> str:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    return _attempt(lambda: os.write(os.open(f"/proc/self/fd/{files[0]}", os.O_WRONLY), b"x" * job["bytes"]) or None)


def _map(job: dict[str, Any], files: Sequence[int]) -> str:
    """Map the file that was given."""
    return _attempt(lambda: mmap.mmap(files[0], 4096).close())


def _reach(job: dict[str, Any], files: Sequence[int]) -> str:
    """Make a system call about the file that was given."""
    return _system_call({**job, "arguments": [files[0], *job["arguments"]]}, files)


def _remember(job: dict[str, Any], files: Sequence[int]) -> bool:
    seen = hasattr(sys, "left_by_an_earlier_job")
    sys.left_by_an_earlier_job = True  # type: ignore[attr-defined]
    return seen


def _echo(job: dict[str, Any], files: Sequence[int]) -> Any:
    return job["value"]


def _system_call(job: dict[str, Any], files: Sequence[int]) -> str:
    """Make a system call by number; 0 stands for every argument that is not given."""
    libc = ctypes.CDLL(None, use_errno=True)
    arguments = [ctypes.c_long(argument) for argument in [*job["arguments"], 0, 0, 0, 0, 0, 0][:6]]
    if libc.syscall(ctypes.c_long(job["number"]), *arguments) >= 0:
        return "done"
    return os.strerror(ctypes.get_errno())


def _lower_limit(job: dict[str, Any], files: Sequence[int]) -> str:
    import resource  # noqa: PLC0415

    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (8, 8))
    except ValueError:  # what Python makes of EPERM here
        return "refused"
    return "done"


def _abort(job: dict[str, Any], files: Sequence[int]) -> None:
    os.abort()


def _privileges(job: dict[str, Any], files: Sequence[int]) -> dict[str, int]:
    import resource  # noqa: PLC0415

    libc = ctypes.CDLL(None)
    header, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    assert libc.capget(header, data) == 0
    return {
        "no_new_privs": libc.prctl(39, 0, 0, 0, 0),
        "capabilities": sum(data),
        "core": resource.getrlimit(resource.RLIMIT_CORE)[1],
    }


def _parent(job: dict[str, Any], files: Sequence[int]) -> int:
    return os.getppid()


def _survey(job: dict[str, Any], files: Sequence[int]) -> dict[str, Any]:
    looked_for = ["/etc/passwd", "/etc/hosts", str(Path(__file__).parents[2] / "libs"), "/proc/self/root/etc"]
    return {
        "uts": socket.gethostname(),
        "user": os.getuid(),
        "root": [name for name in _TOP if os.path.lexists(f"/{name}")],
        "hidden": [path for path in looked_for if not os.path.lexists(path)],
        "processes": [number for number in range(1, 40_000) if os.path.lexists(f"/proc/{number}")],
    }


_TOP = (
    "bin",
    "boot",
    "dev",
    "etc",
    "home",
    "lib",
    "lib64",
    "mnt",
    "opt",
    "proc",
    "root",
    "run",
    "srv",
    "sys",
    "tmp",
    "usr",
    "var",
    "work",
)


def _nap(job: dict[str, Any], files: Sequence[int]) -> Any:
    time.sleep(job["seconds"])
    return job["value"]


def _write_on(job: dict[str, Any], files: Sequence[int]) -> bool:
    """Answer, with threads that write to the file for as long as they run."""

    def write(place: int) -> None:
        for count in itertools.count(1):
            os.pwrite(files[0], count.to_bytes(8, "little"), place * 8)

    for place in range(4):
        threading.Thread(target=write, args=(place,), daemon=True).start()
    time.sleep(0.01)
    return True


def _stop(job: dict[str, Any], files: Sequence[int]) -> None:
    """Stop as if all were done."""
    signal.raise_signal(signal.SIGSTOP)


_FORGED = {
    "bomb": b'{"value":[' + b"{}," * 300_000 + b"{}]}",
    "deep": b'{"value":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "infinite": b'{"value":[1e999]}',
    "endless": b'{"value":[' + b"9" * 4000 + b"]}",
    "large": b'{"value":[9223372036854775808]}',
    "half": b'{"value":["\\ud800", {"\\uDFFF": 1}]}',
    "list": b'["value"]',
    "ugly": b'{"kind":"\\u001b[2J","message":"a\\u0000b\\ud800\\u202e\\n"}',
}


def _forge(job: dict[str, Any], files: Sequence[int]) -> None:
    """Write a result past the code that usually writes it."""
    data = _FORGED[job["answer"]]
    (result,) = [number for number in range(3, 64) if _is_open(number)]
    os.pwrite(result, len(data).to_bytes(8, "little") + data, 0)
    os._exit(0)


ACTS: dict[str, Callable[[dict[str, Any], Sequence[int]], Any]] = {
    name.removeprefix("_"): act
    for name, act in list(globals().items())
    if name.startswith("_") and callable(act) and not name.startswith("__")
} | {"scatter": hoarders.scatter, "hide": hoarders.hide, "build": hoarders.build, "supersede": hoarders.supersede}
