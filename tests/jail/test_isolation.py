"""Tiers of isolation: what is configured holds, or nothing is served (S7)."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from libs.common.jail import ConfinementError, JobServer, canaries, isolation, landlock, namespaces
from libs.common.jail.confinement import interpreter_paths
from libs.common.jail.isolation import PORTABLE, REQUIRED
from libs.common.jail.shares import Shares
from tests.jail.test_host import ROOT, jail

REFUSED = namespaces.available(interpreter_paths())
WHERE_ALLOWED = pytest.mark.skipif(bool(REFUSED), reason=f"this host allows no namespaces: {REFUSED}")


@pytest.fixture(scope="module")
async def housed(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[JobServer]:
    directory = tmp_path_factory.mktemp("housed") / "jail"
    async with jail(directory), JobServer.at(directory, "one", isolation="namespaces", shares=Shares(4)) as server:
        yield server


async def test_the_canaries_find_nothing_wrong(jobs: JobServer) -> None:
    """Attacks from real children are refused in the portable tier."""
    assert await jobs.problems() == []


@WHERE_ALLOWED
async def test_the_canaries_find_nothing_wrong_in_namespaces(housed: JobServer) -> None:
    """And in the namespace tier, where every layer of it is proven by each job."""
    assert await housed.problems() == []


def test_the_canaries_are_alive() -> None:
    """Each attack that is safe to try takes effect without a jail: the canaries would notice."""
    for name in ("read /etc/passwd", "open a socket", "fork", "make a memory file", "map executable memory"):
        assert canaries._took_effect(canaries.ATTACKS[name]), name


async def test_a_job_without_a_required_layer_gives_no_answer(tmp_path: Path) -> None:
    """Where namespaces are required of a parent that has none, its answers do not count."""
    async with JobServer("tests.jail.prisoners:run") as server:
        server._required = REQUIRED["namespaces"]
        with pytest.raises(ConfinementError, match="layers are missing: ipc, mount, network, pid, user, uts"):
            await server.run({"act": "echo", "value": 1})


async def test_a_barred_jail_lets_only_canaries_in(jobs: JobServer) -> None:
    """While the canaries found something nothing else runs."""
    jobs.barred = "canary: could fork"
    try:
        with pytest.raises(ConfinementError, match="could fork"):
            await jobs.run({"act": "echo", "value": 1})
        assert await jobs.problems() == []
    finally:
        jobs.barred = ""


async def test_a_barred_jail_is_waited_for(jobs: JobServer) -> None:
    """Who waits goes on as soon as it is open, and meets the refusal where it stays closed."""
    jobs.barred = "the canaries have not been tried yet"
    waiting = asyncio.create_task(jobs.opening(30))
    try:
        await jobs.opening(0.1)
        assert (jobs.barred != "", waiting.done()) == (True, False)
    finally:
        jobs.barred = ""
    await asyncio.wait_for(waiting, 30)


@WHERE_ALLOWED
async def test_a_housed_job_sees_an_empty_machine(housed: JobServer) -> None:
    """In namespaces there are no other processes, no network, and of the file tree what Python reads (S7)."""
    around = await housed.run({"act": "survey"})
    assert around["uts"] == "jail"
    assert around["user"] == os.geteuid()
    assert set(around["root"]) <= {
        "dev",
        "lib",
        "lib64",
        "usr",
        "proc",
        "root",
        "opt",
        "home",
        "work",
        "app",
        "tmp",
        "nix",
    }
    assert around["hidden"] == ["/etc/passwd", "/etc/hosts", str(ROOT / "libs"), "/proc/self/root/etc"]
    assert all(number < 500 for number in around["processes"])
    assert str(os.getpid()) not in map(str, around["processes"])


def test_runtimeclass_is_attested_not_guessed() -> None:
    """A gVisor is believed where its kernel says so and has no Landlock; an ordinary kernel is refused."""
    isolation.attest_gvisor(b"<6>[    0.000000] Starting gVisor...\n", 0)
    for log, version in ((b"", 0), (b"Linux version 6.18", 0), (b"Starting gVisor...", 7)):
        with pytest.raises(ConfinementError, match="not gVisor"):
            isolation.attest_gvisor(log, version)
    assert REQUIRED["runtimeclass"] == PORTABLE - {"files", "tcp"} | {"gvisor"}


def test_a_jail_that_lacks_what_is_configured_does_not_start(tmp_path: Path) -> None:
    """The process ends with the reason, and listens nowhere."""
    command = (sys.executable, "-m", "services.validator.jail", str(tmp_path / "jail"), "runtimeclass")
    done = subprocess.run(command, cwd=ROOT, env={}, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603
    assert done.returncode != 0
    assert "not gVisor" in done.stderr
    assert not (tmp_path / "jail").exists()


@pytest.mark.parametrize("asked", ["auto", "namespaces"])
def test_a_missing_layer_is_no_smaller_jail(asked: isolation.Isolation, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Landlock nothing starts, in no tier; without namespaces what asks for them does not."""
    with monkeypatch.context() as patch:
        patch.setattr(landlock, "abi", lambda: 3)
        with pytest.raises(ConfinementError, match="Landlock"):
            isolation.layers_of(asked, ())
    monkeypatch.setattr(namespaces, "available", lambda _: "unshare: Operation not permitted")
    if asked == "auto":
        assert isolation.layers_of(asked, ()) == ()
    else:
        with pytest.raises(ConfinementError, match="not permitted"):
            isolation.layers_of(asked, ())
