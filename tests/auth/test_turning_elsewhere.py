"""A tenant's data key is turned without the launcher: by a process with the service's environment, as in its pod (S8)."""

import asyncio
import os
import sys
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr

from libs.common.context import Context
from libs.common.crypto import versions
from libs.common.crypto.resealing import left
from services.auth.mail.outbox import Letter
from services.auth.sealed import SEALED
from tests.architecture.source import ROOT
from tests.auth.world import Tenant, World

MAILS = 600


def environment(world: World, folder: Path) -> dict[str, str]:
    """Return the environment that the running service could have been started with; its ring is a file."""
    values = {name: getattr(world.runtime.settings, name) for name in type(world.runtime.settings).model_fields}
    ring = folder / "keyring.json"
    ring.write_text(values.pop("keyring").get_secret_value())
    plain = {
        f"REGENT_{name.upper()}": str(value.get_secret_value() if isinstance(value, SecretStr) else value)
        for name, value in values.items()
        if value is not None
    }
    return {**plain, "REGENT_KEYRING_FILE": str(ring), "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}


async def started(environ: dict[str, str], tenant: UUID | str) -> asyncio.subprocess.Process:
    words = (sys.executable, "-m", "services.auth.keys", "rotate-dek", str(tenant))
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(*words, cwd=ROOT, env=environ, stdout=pipe, stderr=pipe)


async def with_secrets(world: World, tenant: UUID) -> None:
    async with world.runtime.database.transaction(Context(tenant, "service:test")) as tx:
        for _ in range(MAILS):
            letter = Letter("email-changed", f"{uuid4()}@example.com", {"when": "today"})
            await world.runtime.extras["mail"].queue(tx, letter, void=True)


@pytest.mark.chaos
async def test_a_killed_command_goes_on_where_it_was(tenant: Tenant, world: World, tmp_path: Path) -> None:
    """Killed after its first word and begun again, it ends with one new version, and every secret under it."""
    environ = environment(world, tmp_path)
    await with_secrets(world, tenant.id)
    first = await started(environ, tenant.id)
    assert first.stderr is not None
    assert b"secrets to go" in await first.stderr.readline()
    first.kill()
    await first.wait()
    again = await started(environ, tenant.id)
    said, progress = await again.communicate()
    assert (again.returncode, said) == (0, b"auth: the data key is at version 2\n"), progress
    async with world.runtime.database.transaction(Context(tenant.id, "service:test")) as tx:
        assert [key.version for key in await versions.all_versions(tx)] == [2]
        assert await left(tx, SEALED) == 0
        assert await tx.connection.fetchval("SELECT count(*) FROM mail") == MAILS


async def test_a_tenant_without_secrets_is_named(world: World, tmp_path: Path) -> None:
    """A sentence and an exit code, and no key is made."""
    unknown = uuid4()
    tried = await started(environment(world, tmp_path), unknown)
    _, said = await tried.communicate()
    assert (tried.returncode, said) == (1, f"auth: no secret of tenant {unknown} is kept here\n".encode())
