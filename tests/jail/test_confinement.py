"""What a confined job cannot do (S7: nothing outside is reachable)."""

import os
import platform
import re
import signal
import socket
from pathlib import Path

import pytest

from libs.common.jail import JobCrashed, JobServer, calls


async def test_files_outside_cannot_be_read(jobs: JobServer, tmp_path: Path) -> None:
    """A file that was not handed over cannot be opened, wherever it lies."""
    secret = tmp_path / "secret"
    secret.write_text("s")
    for path in (str(secret), "/etc/passwd", f"/proc/{os.getpid()}/environ", "/proc/self/environ"):
        assert await jobs.run({"act": "read", "path": path}) == "PermissionError", path


async def test_files_outside_cannot_be_written(jobs: JobServer, tmp_path: Path) -> None:
    """Nothing can be created or changed outside."""
    for path in (str(tmp_path / "new"), "/tmp/new-by-a-job", "/dev/shm/new-by-a-job"):  # noqa: S108
        assert await jobs.run({"act": "write", "path": path}) == "PermissionError", path


async def test_programs_cannot_be_started(jobs: JobServer) -> None:
    """Not even a program in a readable directory can be executed."""
    assert await jobs.run({"act": "execute", "path": "/bin/true"}) == "PermissionError"


async def test_tcp_is_refused(jobs: JobServer) -> None:
    """A listening port that the test can reach is out of the job's reach, and so is binding one."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        socket.create_connection(("127.0.0.1", port)).close()
        assert await jobs.run({"act": "connect", "port": port}) == "PermissionError"
        assert await jobs.run({"act": "bind"}) == "PermissionError"


async def test_abstract_sockets_and_signals_are_refused(jobs: JobServer) -> None:
    """Other processes can neither be talked to through abstract sockets nor be killed."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"\0regent-{os.getpid()}")
        server.listen()
        job = {"act": "abstract", "name": f"regent-{os.getpid()}"}
        assert await jobs.run(job) == "PermissionError"
    assert await jobs.run({"act": "kill", "pid": os.getpid()}) == "PermissionError"
    assert await jobs.run({"act": "kill", "pid": jobs.pid}) == "PermissionError"


async def test_environment_is_empty_and_descriptors_are_closed(jobs: JobServer) -> None:
    """A job sees no environment and holds /dev/null thrice, its result's descriptor and its files."""
    around = await jobs.run({"act": "look_around"})
    assert around["environment"] == {}
    assert around["open"][:3] == [0, 1, 2]
    assert len(around["open"]) == 4


async def test_privileges_are_gone(jobs: JobServer) -> None:
    """A job has no capabilities, cannot regain any, and dumps no core."""
    assert await jobs.run({"act": "privileges"}) == {"no_new_privs": 1, "capabilities": 0, "core": 0}


@pytest.mark.parametrize("name", sorted(calls.deadly(platform.machine())))
async def test_calls_that_only_attacks_need_kill(jobs: JobServer, name: str) -> None:
    """Debugging, other processes' memory, kernel modules, mounts, namespaces: the attempt is the end."""
    number = calls.deadly(platform.machine())[name]
    with pytest.raises(JobCrashed) as crashed:
        await jobs.run({"act": "system_call", "number": number, "arguments": []})
    assert crashed.value.signal == signal.SIGSYS


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the numbers are this architecture's")
@pytest.mark.parametrize(
    ("number", "arguments", "answer"),
    [
        (319, [], "Operation not permitted"),  # memfd_create: memory outside the limit
        (29, [0, 4096, 0o600], "Operation not permitted"),  # shmget
        (41, [2, 1, 0], "Operation not permitted"),  # socket
        (57, [], "Operation not permitted"),  # fork
        (56, [0x10000000 | 17], "Operation not permitted"),  # clone of a user namespace
        (56, [0x10000000 | 0x10000], "Operation not permitted"),  # the same, called a thread
        (435, [0, 0], "Function not implemented"),  # clone3: libc then uses clone
        (62, [1, 0], "Operation not permitted"),  # kill
        (234, [1, 1, 0], "Operation not permitted"),  # tgkill of another process
        (302, [0, 7, 1], "Operation not permitted"),  # prlimit64 that sets
        (157, [4, 1], "Operation not permitted"),  # prctl that makes it dumpable
        (59, [0, 0, 0], "Operation not permitted"),  # execve
        (39, [], "done"),  # getpid
    ],
)
async def test_calls_are_refused_or_allowed_by_number_and_arguments(
    jobs: JobServer, number: int, arguments: list[int], answer: str
) -> None:
    """What work does not need is refused, whatever it is called with."""
    assert await jobs.run({"act": "system_call", "number": number, "arguments": arguments}) == answer


@pytest.mark.skipif(platform.machine() != "x86_64", reason="x32 is this architecture's")
async def test_another_tables_numbers_kill(jobs: JobServer) -> None:
    """The x32 numbers would name the same calls past the filter."""
    with pytest.raises(JobCrashed) as crashed:
        await jobs.run({"act": "system_call", "number": 0x40000000 | 39, "arguments": []})
    assert crashed.value.signal == signal.SIGSYS


async def test_own_death_and_limits_are_ones_own(jobs: JobServer) -> None:
    """A job can abort itself, and cannot change its limits, not even lower them."""
    assert await jobs.run({"act": "lower_limit"}) == "refused"
    with pytest.raises(JobCrashed) as crashed:
        await jobs.run({"act": "abort"})
    assert crashed.value.signal == signal.SIGABRT


async def test_handed_files_can_be_opened_again(jobs: JobServer, tmp_path: Path) -> None:
    """A descriptor opens its file by /proc/self/fd, for a regular file and for a memfd."""
    path = tmp_path / "data"
    path.write_text("on disk")
    memory = os.memfd_create("data")
    os.write(memory, b"in memory")
    with path.open("rb") as file:
        assert await jobs.run({"act": "reopen"}, [file.fileno(), memory]) == ["on disk", "in memory"]
    os.close(memory)


async def test_read_only_files_cannot_be_written(jobs: JobServer, tmp_path: Path) -> None:
    """A file handed over to be read cannot be opened for writing, even where its mode would allow that."""
    path = tmp_path / "data"
    path.write_text("kept")
    with path.open("r+b") as file:
        assert await jobs.run({"act": "reopen_to_write"}, [file.fileno()]) == "PermissionError"
        assert path.read_text() == "kept"
        assert await jobs.run({"act": "reopen_to_write"}, writable=[file.fileno()]) == "done"
    assert path.read_text() == "changed"


async def test_a_directory_handed_over_can_be_written_below(jobs: JobServer, tmp_path: Path) -> None:
    """A writable directory takes new files; a readable one does not."""
    directory = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        assert await jobs.run({"act": "below"}, [directory]) == "PermissionError"
        assert await jobs.run({"act": "below"}, writable=[directory]) == "done"
    finally:
        os.close(directory)
    assert (tmp_path / "new").read_text() == "new"


async def test_nothing_is_left_for_the_next_job(jobs: JobServer) -> None:
    """What a job changes in its interpreter dies with it."""
    assert await jobs.run({"act": "remember"}) is False
    assert await jobs.run({"act": "remember"}) is False


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_confinement_holds_for_an_ordinary_user() -> None:
    """Without root and without capabilities the same layers go on."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.setgroups([])
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
            code = 0 if _confined_and_shut_in() else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def _confined_and_shut_in() -> bool:
    from libs.common.jail import Limits, confine  # noqa: PLC0415

    layers = confine(Limits(), readable=["/usr/lib"]).layers
    try:
        os.close(os.open("/etc/passwd", os.O_RDONLY))
    except PermissionError:
        return {"files", "tcp", "no_new_privs", "rlimits", "capabilities"} <= set(layers)
    return False


_HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}
_OTHER_NAMES = {"newfstatat": "fstatat"}


@pytest.mark.parametrize("machine", [name for name in _HEADERS if _HEADERS[name].exists()])
def test_calls_have_the_numbers_of_the_kernel(machine: str) -> None:
    """A number that is another call's would let that one through: each is what the system's headers say."""
    text = _HEADERS[machine].read_text()
    told = {name: int(number) for name, number in re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)\b", text)}
    kinds = (calls.allowed, calls.deadly, calls.judged, calls.contacts, calls.programs)
    ours = {name: number for kind in kinds for name, number in kind(machine).items()}
    assert len(ours) > 100
    assert {name: told.get(_OTHER_NAMES.get(name, name), told.get(name)) for name in ours} == ours
