"""Messages between a job server and its forkserver: one JSON object a packet, descriptors beside it."""

import json
import socket
from typing import Any

_PACKET = 64 * 1024
_DESCRIPTORS = 64


def pack(message: dict[str, Any]) -> bytes:
    """Return the packet that carries `message`."""
    return json.dumps(message, separators=(",", ":")).encode()


def receive(control: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """Return the next message and its descriptors, or None when the other side is gone.

    Raises:
        BlockingIOError: when the socket does not block and nothing is there.
    """
    try:
        data, descriptors, _, _ = socket.recv_fds(control, _PACKET, _DESCRIPTORS)
    except ConnectionResetError:
        return None
    return (json.loads(data), descriptors) if data else None
