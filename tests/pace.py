"""Promises that name seconds."""

from collections.abc import Awaitable, Callable


async def within(seconds: float, tried: Callable[[], Awaitable[float]]) -> None:
    """Check that something takes so many seconds at most; `tried` does it, and returns the seconds that it took."""
    took = await tried()
    assert took <= seconds, f"allowed were {seconds} s, it took {took}"
