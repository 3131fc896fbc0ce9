"""Services that keep no secrets refuse to hold a key; those that do name a ring that is missing (S8)."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from tests.architecture.source import ROOT

GIVEN = (("scheduler", "REGENT_KEYRING"), ("runner", "REGENT_KEYRING_FILE"), ("validator", "REGENT_KEYRING"))


async def said_at_start(service: str, **more: str) -> tuple[int | None, str]:
    """Start a service with an environment that holds nothing else; returns its exit code and what it said."""
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **more}
    words = (sys.executable, "-m", f"services.{service}.main")
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*words, cwd=ROOT, env=environ, stdout=pipe, stderr=pipe)
    _, said = await process.communicate()
    return process.returncode, said.decode()


@pytest.mark.parametrize(("service", "variable"), GIVEN)
async def test_a_service_without_secrets_refuses_a_key(service: str, variable: str, tmp_path: Path) -> None:
    """By value or by file: it says so before anything else, names the variable and shows nothing of the key."""
    held = tmp_path / "ring.json"
    held.write_text("the very key")
    code, said = await said_at_start(service, **{variable: str(held) if "FILE" in variable else "the very key"})
    assert (code, f"{variable} is set, but this service keeps no secrets" in said) == (1, True), said
    assert "the very key" not in said


async def test_a_service_with_secrets_does_not_start_without_a_ring() -> None:
    """It names the variable; nothing ever invents a key."""
    code, said = await said_at_start("audit")
    assert (code, "REGENT_KEYRING" in said) == (1, True), said
