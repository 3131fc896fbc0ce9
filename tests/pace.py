"""Promises that name seconds, on a machine that others use too."""

from collections.abc import Awaitable, Callable

TRIES = 3


async def within(seconds: float, tried: Callable[[], Awaitable[float]]) -> None:
    """Check that something takes so many seconds at most: a machine that stands still spoils one of three tries, slowness all.

    `tried` does it from the beginning each time, and returns the seconds that it took.
    """
    took: list[float] = []
    while len(took) < TRIES:
        took.append(await tried())
        if took[-1] <= seconds:
            return
    raise AssertionError(f"allowed were {seconds} s, it took {took}")
