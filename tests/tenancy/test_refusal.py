"""The process itself does not start on a database that would not keep tenants apart (S37)."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from deploy.local.nats import Nats
from deploy.local.processes import free_port
from deploy.local.services import ROOT
from tests.tenancy.conftest import Scratch

FAULTS = {
    "ALTER TABLE scheduler.schedule DISABLE ROW LEVEL SECURITY": "table schedule has no enabled and forced",
    "ALTER POLICY tenant ON scheduler.firing USING (true)": "policy tenant on table firing does not compare",
    "ALTER POLICY tenant ON scheduler.firing WITH CHECK (true)": "policy tenant on table firing does not compare",
    "CREATE VIEW scheduler.due AS SELECT * FROM scheduler.schedule": "view due runs with its owner's rights",
    "ALTER TABLE scheduler.firing OWNER TO scheduler_server": "owns table scheduler.firing",
    "CREATE SCHEMA other; GRANT USAGE ON SCHEMA other TO scheduler_server": "USAGE on the foreign schema other",
}


@asynccontextmanager
async def process(scratch: Scratch, bus: Nats, folder: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start the scheduler as its own process over the database; end it."""
    environment = {
        "REGENT_DATABASE_URL": scratch.urls["scheduler_server"],
        "REGENT_RELAY_DATABASE_URL": scratch.urls["scheduler_relay"],
        "REGENT_CLAIMER_DATABASE_URL": scratch.urls["scheduler_claimer"],
        "REGENT_NATS_URL": bus.url,
        "REGENT_NKEY_SEED_FILE": str(bus.seeds["scheduler"]),
        "REGENT_OBJECTS": (folder / "objects").as_uri(),
        "REGENT_LISTEN_PORT": str(free_port()),
        "REGENT_PUBLIC_URL": "https://regent.test",
    }
    program = (sys.executable, "-m", "services.scheduler.main")
    started = await asyncio.create_subprocess_exec(
        *program, cwd=ROOT, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        yield started
    finally:
        if started.returncode is None:
            started.terminate()
            await started.wait()


@pytest.mark.parametrize(("spoil", "complaint"), FAULTS.items(), ids=FAULTS.keys())
async def test_a_process_ends_on_a_spoiled_database(
    scratch: Scratch, nats_server: Nats, tmp_path: Path, spoil: str, complaint: str
) -> None:
    """It says which table and what is wrong, ends with an error and never listens (S37)."""
    await scratch.admin.execute(spoil)
    async with process(scratch, nats_server, tmp_path) as started:
        said, _ = await asyncio.wait_for(started.communicate(), 120)
    assert started.returncode == 1
    assert "scheduler does not start: " in said.decode()
    assert complaint in said.decode()
    assert "service.listening" not in said.decode()


async def test_a_process_starts_on_a_sound_one(scratch: Scratch, nats_server: Nats, tmp_path: Path) -> None:
    """What refuses above is the fault, not the way in which the process is started."""
    async with process(scratch, nats_server, tmp_path) as started:
        assert started.stdout
        async with asyncio.timeout(120):
            while b"service.listening" not in (line := await started.stdout.readline()):
                assert line, "it ended"
