"""The jail as a process of its own: found again after its death, open to its own user alone, believed in nothing."""

import asyncio
import json
import os
import socket
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from libs.common.jail import JailError, JobError, JobFailed, JobServer, JobServerLost, JobTimedOut, Limits, sockets
from libs.common.jail.remote import Remote
from libs.common.jail.shares import Shares

_HOST = """
from pathlib import Path
from libs.common.jail import WarmParent, host
import sys
host._FIRST_DELAY = float(sys.argv[2])
host.run(Path(sys.argv[1]), {name: WarmParent("tests.jail.prisoners:run") for name in ("one", "two")})
"""
ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def jail(directory: Path, delay: float = 0.1) -> AsyncIterator[Process]:
    command = (sys.executable, "-c", _HOST, str(directory), str(delay))
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env={})
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


@pytest.fixture(scope="module")
async def host(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Path, int]]:
    directory = tmp_path_factory.mktemp("a-directory-whose-path-is-longer-than-any-socket-address-can-be" * 3) / "jail"
    async with jail(directory) as process:
        yield directory, process.pid


@pytest.fixture
def place(host: tuple[Path, int]) -> Path:
    return host[0]


async def test_each_parent_answers_at_its_own_door(place: Path, tmp_path: Path) -> None:
    """Jobs go through the socket with their files and come back, for both warm parents at once."""
    (tmp_path / "data").write_text("on disk")
    async with JobServer.at(place, "one") as one, JobServer.at(place, "two") as two:
        with (tmp_path / "data").open() as file:
            assert await one.run({"act": "reopen"}, [file.fileno()]) == ["on disk"]
        assert await two.run({"act": "echo", "value": 2}) == 2


async def test_a_job_holds_nothing_of_the_jail(place: Path) -> None:
    """A job behind the socket has no environment, and no descriptor of the listener or of a client."""
    async with JobServer.at(place, "one") as one:
        around = await one.run({"act": "look_around"})
    assert around["environment"] == {}
    assert len(around["open"]) == 4


async def test_many_clients_do_not_mix(place: Path) -> None:
    """Numbers of jobs are a connection's own: two brokers get their own answers, and one's end ends only its jobs."""
    here, there = (JobServer.at(place, "one", shares=Shares(8)) for _ in range(2))
    async with here, there:
        slow = asyncio.create_task(there.run({"act": "nap", "seconds": 0.5, "value": "there"}))
        asked = [
            server.run({"act": "echo", "value": [n, m]}) for n in range(8) for m, server in enumerate((here, there))
        ]
        assert await asyncio.gather(*asked) == [[n, m] for n in range(8) for m in range(2)]
        gone = JobServer.at(place, "one")
        lost = asyncio.create_task(gone.run({"act": "sleep", "seconds": 60}))
        while not gone.alive:  # noqa: ASYNC110 - another process sets no event
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.1)
        await gone.__aexit__(None, None, None)
        with pytest.raises(JobServerLost):
            await lost
        assert await slow == "there"


async def test_a_jail_that_is_killed_comes_back(tmp_path: Path) -> None:
    """Jobs under a killed jail are lost and say so; a client waits for the next one, which listens at the same place (S10)."""
    server = JobServer.at(tmp_path / "jail", "one")
    async with jail(tmp_path / "jail") as first:
        task = asyncio.create_task(server.run({"act": "sleep", "seconds": 60}))
        await asyncio.sleep(0.1)
        while not server.alive:  # noqa: ASYNC110 - another process sets no event
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.1)
        first.kill()
        with pytest.raises(JobServerLost):
            await task
    waiting = asyncio.create_task(server.run({"act": "echo", "value": 1}))
    async with jail(tmp_path / "jail"):
        assert await waiting == 1
        await server.__aexit__(None, None, None)


async def test_a_parent_that_dies_is_started_again(host: tuple[Path, int]) -> None:
    """The listening sockets outlive the warm parents: the next job waits for the new one."""
    place, pid = host
    async with JobServer.at(place, "one") as one, JobServer.at(place, "two") as two:
        assert await one.run({"act": "echo", "value": 1}) == await two.run({"act": "echo", "value": 1})
        for child in psutil.Process(pid).children():
            child.kill()
        while one.alive or two.alive:  # noqa: ASYNC110 - another process sets no event
            await asyncio.sleep(0.02)
        for server in (one, two):
            assert await server.run({"act": "echo", "value": 2}) == 2
            assert server.lives == 2


async def test_no_parent_waits_for_another_one(tmp_path: Path) -> None:
    """Parents that die together are started again together, each after a pause of its own."""
    pause = 4.0
    async with jail(tmp_path / "jail", pause) as process, JobServer.at(tmp_path / "jail", "two") as two:
        assert await two.run({"act": "echo", "value": 1}) == 1
        host = psutil.Process(process.pid)
        first = host.children()
        for child in first:
            child.kill()
        async with asyncio.timeout(60):
            while len(again := [child for child in host.children() if child not in first]) < 2:  # noqa: ASYNC110 - another process sets no event
                await asyncio.sleep(0.1)
        one, other = (child.create_time() for child in again)
        assert abs(one - other) < pause / 2
        assert min(one, other) - max(child.create_time() for child in first) > pause / 2


async def test_strangers_are_refused(tmp_path: Path) -> None:
    """A directory that others may enter is not used, to listen or to connect."""
    (tmp_path / "open").mkdir(mode=0o755)
    (tmp_path / "open").chmod(0o755)
    for use in (sockets.listen, sockets.connect):
        with pytest.raises(sockets.StrangerError):
            use(tmp_path / "open", "one")
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(OSError, match="irectory"):
        sockets.connect(tmp_path / "link", "one")


@asynccontextmanager
async def facing(directory: Path, behave: Callable[[socket.socket], None]) -> AsyncIterator[JobServer]:
    """Yield a client of a jail that has been taken over and behaves as told."""
    clients: list[socket.socket] = []

    async def serve() -> None:
        while True:
            client, _ = await asyncio.get_running_loop().sock_accept(listener)
            clients.append(client)
            client.setblocking(True)
            await asyncio.to_thread(behave, client)

    with sockets.listen(directory / "jail", "one") as listener:
        listener.setblocking(False)
        task = asyncio.create_task(serve())
        async with JobServer.at(directory / "jail", "one") as server:
            yield server
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        for client in clients:
            client.close()


def take(client: socket.socket) -> None:
    for descriptor in socket.recv_fds(client, 65536, 64)[1]:
        os.close(descriptor)


REPORT = {"done": 1, "code": 0, "timed_out": False, "cpu_seconds": 0.0, "peak_rss": 0}
NONSENSE: dict[str, bytes] = {
    "no JSON": b"\xff\xfe",
    "no object": b"[]",
    "deep": b"[" * 60_000,
    "text for a code": json.dumps({**REPORT, "code": "0"}).encode(),
    "a huge code": json.dumps({**REPORT, "code": 10**30}).encode(),
    "truth for a code": json.dumps({**REPORT, "code": True}).encode(),
    "endless seconds": json.dumps({**REPORT, "cpu_seconds": float("inf")}).encode(),
    "negative memory": json.dumps({**REPORT, "peak_rss": -1}).encode(),
    "nothing said": json.dumps({"done": 1}).encode(),
    "success without a result": json.dumps(REPORT).encode(),
    "success of every job": b"".join([json.dumps({**REPORT, "done": None}).encode()]),
}


@pytest.mark.parametrize("what", NONSENSE)
async def test_a_hostile_jail_gives_no_result(tmp_path: Path, what: str) -> None:
    """Whatever a jail that was taken over says, the broker gets an error of its own, in time, and no result (S7)."""

    def behave(client: socket.socket) -> None:
        client.send(b'{"ready":true}')
        take(client)
        with suppress(OSError):
            socket.send_fds(client, [NONSENSE[what]], [0, 1, 2])
        client.settimeout(2)
        with suppress(OSError):
            client.recv(1)
        client.close()

    async with facing(tmp_path, behave) as server:
        before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
        with pytest.raises(JailError):
            await asyncio.wait_for(server.run({"act": "echo", "value": 1}), 30)
        # a client here, perhaps one there: what it sent along is not taken
        assert len(os.listdir("/proc/self/fd")) <= before + 2  # noqa: PTH208


async def test_a_jail_that_never_answers_hangs_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The broker has a clock of its own: a job whose end nobody tells is over a little after its time (S7)."""
    monkeypatch.setattr("libs.common.jail.connection._GRACE_SECONDS", 0.2)

    def behave(client: socket.socket) -> None:
        client.send(b'{"ready":true}')
        take(client)

    async with facing(tmp_path, behave) as server:
        with pytest.raises(JobTimedOut):
            await asyncio.wait_for(server.run({"act": "echo", "value": 1}, limits=Limits(wall_seconds=0.2)), 30)
        assert not server.alive


async def test_a_jail_that_is_never_ready_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A jail that takes the connection and says nothing is as good as none."""
    monkeypatch.setattr("libs.common.jail.remote._READY_SECONDS", 0.2)
    async with facing(tmp_path, lambda _: None) as server:
        with pytest.raises(JobServerLost, match="not ready"):
            await asyncio.wait_for(server.run({"act": "echo", "value": 1}), 30)


async def test_the_jail_is_away_after_some_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody listens: whoever asks is told so, not kept waiting."""
    monkeypatch.setattr("libs.common.jail.remote._PATIENCE_SECONDS", 0.2)
    sockets.listen(tmp_path / "jail", "two").close()
    with pytest.raises(JobServerLost, match="away"):
        await Remote.connect(tmp_path / "jail", "one")


@pytest.mark.parametrize("answer", ["bomb", "deep", "infinite", "endless", "large", "list"])
async def test_answers_that_are_no_answers(jobs: JobServer, answer: str) -> None:
    """An answer that says little in many values, nests without end or is no JSON of ours is refused cheaply (S7)."""
    with pytest.raises(JobError):
        await jobs.run({"act": "forge", "answer": answer})


async def test_an_answer_can_be_passed_on(jobs: JobServer) -> None:
    """Half a character, which is no text that anybody may be sent, is not in it."""
    assert await jobs.run({"act": "forge", "answer": "half"}) == ["?", {"?": 1}]


async def test_what_a_job_says_is_made_plain(jobs: JobServer) -> None:
    """Control characters and lone surrogates of a job's exception reach no log and no page."""
    with pytest.raises(JobFailed) as failed:
        await jobs.run({"act": "forge", "answer": "ugly"})
    assert failed.value.message.isprintable()
    failed.value.message.encode()
