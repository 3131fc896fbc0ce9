"""Messages between a job server and its forkserver: one JSON object a packet, descriptors beside it."""

import json
import socket
from typing import Any

PACKET = 64 * 1024
MOST_DESCRIPTORS = 253
"""What the kernel takes beside one packet (SCM_MAX_FD)."""


class MalformedError(ValueError):
    """What came is no message."""


def pack(message: dict[str, Any]) -> bytes:
    """Return the packet that carries `message`."""
    return json.dumps(message, separators=(",", ":")).encode()


def unpack(data: bytes) -> dict[str, Any]:
    """Return the message in a packet.

    Raises:
        MalformedError: there is none.
    """
    try:
        message = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise MalformedError("not JSON") from error
    if not isinstance(message, dict):
        raise MalformedError("not an object")
    return message


def receive(control: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """Return the next message and its descriptors, or None when the other side is gone.

    Raises:
        BlockingIOError: when the socket does not block and nothing is there.
        MalformedError: what came is no message.
    """
    try:
        data, descriptors, _, _ = socket.recv_fds(control, PACKET, MOST_DESCRIPTORS)
    except ConnectionResetError:
        return None
    return (unpack(data), descriptors) if data else None


def hear(control: socket.socket) -> dict[str, Any] | None:
    """Return the next message of somebody who is not believed: whatever descriptors come with it are refused.

    Raises:
        BlockingIOError, MalformedError: as `receive`.
    """
    try:
        data = control.recv(PACKET)  # without room for them the kernel closes descriptors
    except ConnectionResetError:
        return None
    return unpack(data) if data else None
