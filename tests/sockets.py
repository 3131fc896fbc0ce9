"""Requests over a bare socket, for answers that come before a request has been sent whole."""

import socket
from collections.abc import Iterable
from contextlib import suppress


def answer_to(port: int, parts: Iterable[bytes], seconds: float = 60) -> bytes:
    """Send parts of a request one by one; returns what is answered, up to the end of the connection or to a silence.

    Whoever refuses early closes the connection, so that sending fails: what it said before can be read nevertheless.
    """
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
        with suppress(ConnectionError):
            for part in parts:
                connection.sendall(part)
        said = b""
        with suppress(ConnectionError):
            while b"\r\n\r\n" not in said and (more := connection.recv(65_536)):
                said += more
        return said
