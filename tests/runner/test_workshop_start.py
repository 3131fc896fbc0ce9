"""Workers' parents start beside each other on one machine."""

import asyncio
import sys

from services.runner.engines.workshop import workshop

HOLDING = "import fcntl, sys; f = open('/dev/null', 'r+b'); fcntl.lockf(f, fcntl.LOCK_EX); print('held', flush=True); sys.stdin.read()"


async def test_a_parent_warms_up_beside_another_one() -> None:
    """What the engine rehearses is locked for nobody else: not even on a device that all share."""
    pipe = asyncio.subprocess.PIPE
    other = await asyncio.create_subprocess_exec(sys.executable, "-c", HOLDING, stdin=pipe, stdout=pipe)
    assert other.stdin is not None
    assert other.stdout is not None
    try:
        assert await other.stdout.readline() == b"held\n"
        async with workshop() as jobs:
            assert jobs.alive
    finally:
        other.stdin.close()
        await other.wait()
