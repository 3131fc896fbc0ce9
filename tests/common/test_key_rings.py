"""Services that keep no secrets refuse to hold a key; those that do name a ring that is missing (S8)."""

import asyncio
import os
import sys
from importlib import import_module
from pathlib import Path

import pytest

from libs.common.settings import SettingsError
from tests.architecture.source import ROOT

GIVEN = [(service, end) for service in ("scheduler", "runner", "validator") for end in ("", "_FILE")]


async def said_at_start(service: str, **more: str) -> tuple[int | None, str]:
    """Start a service with an environment that holds nothing else; returns its exit code and what it said."""
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **more}
    words = (sys.executable, "-m", f"services.{service}.main")
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*words, cwd=ROOT, env=environ, stdout=pipe, stderr=pipe)
    _, said = await process.communicate()
    return process.returncode, said.decode()


@pytest.mark.parametrize(("service", "end"), GIVEN)
def test_a_service_without_secrets_refuses_a_key(service: str, end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By value or by file: it says so before anything else, names the variable and shows nothing of the key."""
    variable = f"REGENT_KEYRING{end}"
    monkeypatch.setenv(variable, "the very key")
    main = import_module(f"services.{service}.main").main
    with pytest.raises(SettingsError, match=f"{variable} is set, but this service keeps no secrets") as refused:
        main()
    assert "the very key" not in str(refused.value)


async def test_a_service_that_refuses_a_key_ends(tmp_path: Path) -> None:
    """As a process it fails at once, with the same words, and shows nothing of the key."""
    held = tmp_path / "ring.json"
    held.write_text("the very key")
    code, said = await said_at_start("runner", REGENT_KEYRING_FILE=str(held))
    assert (code, "REGENT_KEYRING_FILE is set, but this service keeps no secrets" in said) == (1, True), said
    assert "the very key" not in said


async def test_a_service_with_secrets_does_not_start_without_a_ring() -> None:
    """It names the variable; nothing ever invents a key."""
    code, said = await said_at_start("audit")
    assert (code, "REGENT_KEYRING" in said) == (1, True), said
