"""The command line works on a data directory like the launcher's."""

import asyncio
import io
import json
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from deploy.cli import local
from deploy.cli.__main__ import main
from deploy.local.files import private_directory, write_secret
from libs.common.context import Context
from libs.common.ids import SYSTEM_TENANT
from services.auth.mail.outbox import Letter
from tests.auth.mailbox import Mailbox
from tests.auth.world import PASSWORD, World


@pytest.fixture
def reachable(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv("REGENT_DATABASE_URL", world.databases["auth_server"])
    monkeypatch.setenv("REGENT_KEEPER_DATABASE_URL", world.databases["auth_keeper"])
    monkeypatch.setenv("REGENT_MAILER_DATABASE_URL", world.databases["auth_mailer"])
    monkeypatch.setenv("REGENT_PUBLIC_URL", "https://regent.test")
    return world


async def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Run a command as in a process of its own: in a thread, since it has its own event loop."""
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{PASSWORD}\n"))
    assert await asyncio.to_thread(main, words) == 0
    return capsys.readouterr().out


async def test_a_tenant_a_user_and_a_client_are_made(
    reachable: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the commands print gets tokens."""
    email = f"{uuid4().hex}@example.com"
    words = ("--json", "tenant", "create", "--name", "Broker", "--email", email, "--password-stdin")
    tenant = json.loads(await run(monkeypatch, capsys, *words))["tenant_id"]
    words = ("--json", "client", "create", "--tenant", tenant, "--roles", "integrator,auditor")
    client = json.loads(await run(monkeypatch, capsys, *words))
    other = f"{uuid4().hex}@example.com"
    words = ("user", "create", "--tenant", tenant, "--email", other, "--name", "U", "--password-stdin")
    assert "user_id" in await run(monkeypatch, capsys, *words)
    assert tenant in await run(monkeypatch, capsys, "tenant", "list")
    answer = await reachable.token_for(UUID(client["client_id"]), client["client_secret"])
    assert {"run:start", "audit:*"} <= set(answer.json()["scope"].split())
    async with reachable.client() as http:
        assert (await http.post("/v1/login", json={"email": other, "password": PASSWORD})).status_code == 200


async def test_dead_mail_is_listed_and_tried_again(
    reachable: World, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An operator sees what was given up and why, without address or text, and has it sent (S2)."""
    to = f"{uuid4().hex}@example.com"
    mailbox.answers[to] = ["550 5.2.1 disabled", "250 ok"]
    letter = Letter("email-changed", to, {"when": "today"})
    async with reachable.runtime.database.transaction(Context(SYSTEM_TENANT, "user:test")) as tx:
        id_ = str(await reachable.runtime.extras["mail"].queue(tx, letter))
    for _ in range(100):
        printed = await run(monkeypatch, capsys, "--json", "mail", "dead")
        # the service under test logs to the same stream
        rows = json.loads(next(line for line in printed.splitlines() if line.startswith(("[{", "[]"))))
        if found := [row for row in rows if row["id"] == id_]:
            break
    assert found[0]["reason"] == "the mail server answered 550 5.2.1"
    assert to not in str(found)
    await run(monkeypatch, capsys, "mail", "retry", str(SYSTEM_TENANT), id_)
    assert len(await mailbox.wait(to)) == 1
    assert await asyncio.to_thread(main, ["mail", "retry", str(SYSTEM_TENANT), id_]) == 1
    assert "regent: There is no such dead mail.\n" in capsys.readouterr().err


async def test_a_refusal_is_a_sentence(
    reachable: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A wrong role or tenant is said plainly, with exit code 1."""
    words = ("client", "create", "--tenant", str(uuid4()))
    assert await asyncio.to_thread(main, words) == 1
    assert capsys.readouterr().err == "regent: There is no such tenant.\n"


async def test_the_set_up_link_is_printed(
    reachable: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The link names the gateway and carries the token in its fragment."""
    shown = await run(monkeypatch, capsys, "setup-link")
    assert "https://regent.test/setup#su_" in shown


def test_the_launchers_files_say_where_the_database_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Password and socket come from REGENT_DATA; without them the operator is told what to do."""
    monkeypatch.setenv("REGENT_DATA", str(tmp_path))
    with pytest.raises(SystemExit, match="holds no data of Regent"):
        local._local_url("auth_server")
    write_secret(private_directory(tmp_path / "secrets") / "database.json", json.dumps({"auth_server": "p/w"}))
    with pytest.raises(SystemExit, match="start Regent first"):
        local._local_url("auth_server")
    data = tmp_path / "postgres" / "data"
    data.mkdir(parents=True)
    (data / "postmaster.pid").write_text("123\n/data\n1700000000\n5432\n/run/socket\n*\n")
    url = local._local_url("auth_server")
    assert url == "postgresql://auth_server:p%2Fw@/regent?host=%2Frun%2Fsocket&port=5432"
