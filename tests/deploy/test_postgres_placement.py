"""How PostgreSQL is run where it refuses root, survives its own death, and is found again."""

import asyncio
import os
import signal
from pathlib import Path

import asyncpg
import pytest

from deploy.local import postgres
from deploy.local.supervisor import Supervisor


def silent(_name: str, _line: str) -> None:
    """Drop a line."""


async def value(server: postgres.Postgres, query: str) -> object:
    """Return one value, waiting for a server that is coming back."""
    for _ in range(100):
        try:
            connection = await asyncpg.connect(server.url())
        except (OSError, asyncpg.PostgresError):
            await asyncio.sleep(0.05)
            continue
        try:
            return await connection.fetchval(query)
        finally:
            await connection.close()
    raise AssertionError("the server does not come back")


async def test_a_killed_server_comes_back_with_its_data(tmp_path: Path) -> None:
    """After kill -9 the server recovers what was committed; a second start in the same place finds it again."""
    server = await postgres.prepare(tmp_path)
    async with Supervisor(silent) as supervisor:
        await supervisor.start(server.program())
        await value(server, "CREATE TABLE kept AS SELECT 42 AS answer")
        os.kill(supervisor.child("postgres").pid or 0, signal.SIGKILL)
        assert await value(server, "SELECT answer FROM kept") == 42
    again = await postgres.prepare(tmp_path)
    async with Supervisor(silent) as supervisor:
        await supervisor.start(again.program())
        assert await value(again, "SELECT answer FROM kept") == 42


async def test_below_a_private_directory_it_works(tmp_path: Path) -> None:
    """A clone that only its owner can enter is enough: no other user needs to reach the files."""
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    home = private / "deeper" / ("x" * 60) / ("y" * 60)
    server = await postgres.prepare(home)
    async with Supervisor(silent) as supervisor:
        await supervisor.start(server.program())
        assert await value(server, "SELECT current_user::text") == "postgres"
    assert (await postgres.prepare(home)).socket == server.socket
    postgres.forget(home)
    assert not server.socket.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another place")
async def test_where_namespaces_are_refused_nobody_runs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files and data go to a directory that nobody can reach, and a note says where."""
    monkeypatch.setattr(postgres, "_IN_NAMESPACE", ("false",))
    try:
        server = await postgres.prepare(tmp_path)
        async with Supervisor(silent) as supervisor:
            await supervisor.start(server.program())
            owner = Path(f"/proc/{supervisor.child('postgres').pid}").stat().st_uid
            assert await value(server, "SELECT 1") == 1
    finally:
        postgres.forget(tmp_path)
    assert owner == postgres.NOBODY
    assert str(server.data.parent.parent) in server.note
