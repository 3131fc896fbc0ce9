"""A service stops whatever its workers do."""

import asyncio

import pytest

from libs.common.app import _stoppable_tasks


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
