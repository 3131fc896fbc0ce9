"""A service stops whatever its workers do."""

import asyncio
from contextlib import suppress

import pytest

from libs.common.app import _stoppable_tasks
from libs.common.identity import state


async def _hard_of_hearing(told: list[str]) -> None:
    """Lose the first word to stop, as a lost cancellation does."""
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            told.append("stop")
            if len(told) > 1:
                raise


@pytest.mark.parametrize("error", [None, ValueError("a bad key")])
async def test_a_worker_that_lost_the_word_is_told_again(error: ValueError | None) -> None:
    """Tasks end although one missed its cancellation, after an orderly stop and after a failed start."""
    told: list[str] = []
    async with asyncio.timeout(30):
        try:
            async with _stoppable_tasks(again_seconds=0.2) as tasks:
                tasks.create_task(_hard_of_hearing(told))
                await asyncio.sleep(0)
                if error:
                    raise error
        except* ValueError:
            assert error is not None
    assert len(told) > 1


async def test_what_keeps_identities_fresh_ends_at_the_first_word(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its client drops a cancellation that comes together with a message: the task ends nevertheless, not seconds later."""
    asked = asyncio.Event()

    async def deaf(_bus: object) -> dict[str, object]:
        asked.set()
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        return {}

    monkeypatch.setattr(state, "read_snapshot", deaf)
    task = asyncio.create_task(state.keep_fresh(state.IdentityState(), None))  # type: ignore[arg-type]
    await asked.wait()
    task.cancel()
    async with asyncio.timeout(30):
        await asyncio.wait({task})
