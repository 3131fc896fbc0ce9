"""Waiting for messages without losing the word to stop."""

import asyncio

from nats.aio.msg import Msg
from nats.js import JetStreamContext


async def fetch(subscription: JetStreamContext.PullSubscription, count: int, seconds: float) -> list[Msg]:
    """Return what a durable has, up to `count` messages; none when nothing came in time.

    Raises:
        asyncio.CancelledError: this task was told to stop.
    """
    try:
        messages: list[Msg] = await subscription.fetch(count, timeout=seconds)
    except TimeoutError:
        messages = []
    if cancelled():
        raise asyncio.CancelledError
    return messages


def cancelled() -> bool:
    """Tell whether this task was told to stop.

    A cancellation gets lost in the client: Python 3.11's `wait_for` drops one that arrives together with a message, and
    on a closed connection the client raises its own error instead.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
