"""What goes wrong at the start is said in one plain sentence, without a traceback."""

import asyncio
import socket
import sys
from pathlib import Path

from deploy.local.processes import free_port
from deploy.local.state import locked

ROOT = Path(__file__).parents[2]


async def start(data: Path, port: int | str, command: str = "up") -> tuple[int | None, str]:
    """Run the launcher to its end and return its exit code and what it said."""
    environment = {"PATH": "/usr/bin:/bin", "REGENT_DATA": str(data), "REGENT_PORT": str(port)}
    launcher = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "deploy.local",
        command,
        cwd=ROOT,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(launcher.communicate(), 120)
    return launcher.returncode, said.decode()


async def test_a_taken_gateway_port_is_said_plainly(tmp_path: Path) -> None:
    """The message names the port, who has it, and what to do; nothing was started."""
    port = free_port()
    with socket.create_server(("127.0.0.1", port)):
        code, said = await start(tmp_path, port)
    assert code == 1
    assert f"regent: port {port} is taken by " in said
    assert f"REGENT_PORT={port + 1} make up" in said
    assert "Traceback" not in said
    assert not (tmp_path / "postgres").exists()


async def test_a_second_start_in_the_same_directory_is_said_plainly(tmp_path: Path) -> None:
    """Two launchers never share a data directory."""
    with locked(tmp_path):
        code, said = await start(tmp_path, free_port())
    assert (code, said.count("\n")) == (1, 1)
    assert "regent: Regent already runs in" in said


async def test_a_wrong_setting_is_said_plainly(tmp_path: Path) -> None:
    """A port that is none is refused by its name."""
    code, said = await start(tmp_path, "http")
    assert (code, said) == (
        1,
        "regent: configuration: REGENT_PORT is 'http', but must be a whole number from 1 to 65535\n",
    )


async def test_an_unknown_command_is_refused(tmp_path: Path) -> None:
    """The launcher knows `up` and `demo`."""
    code, said = await start(tmp_path, free_port(), "down")
    assert code == 2
    assert "invalid choice" in said
