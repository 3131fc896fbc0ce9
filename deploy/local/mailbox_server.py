"""`python -m deploy.local.mailbox_server <port> <directory>`: take every mail, keep it, say so in a line."""

import asyncio
import signal
import sys
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session

from deploy.local import mailbox

_LARGEST = 1024 * 1024


class Keeper:
    """Keeps each mail as a file."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        """Keep one mail."""
        content = envelope.original_content or b""
        number = mailbox.keep(self._directory, content)
        mail = mailbox.read(self._directory, number)
        print(f"to {', '.join(envelope.rcpt_tos)}: {mail.subject} (regent mail show {number})", flush=True)
        return "250 kept"


async def serve(port: int, directory: Path) -> None:
    """Serve on loopback until told to stop."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for received in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(received, stop.set)
    server = await loop.create_server(
        lambda: SMTP(Keeper(directory), hostname="mailbox", data_size_limit=_LARGEST, loop=loop), "127.0.0.1", port
    )
    async with server:
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), Path(sys.argv[2])))
