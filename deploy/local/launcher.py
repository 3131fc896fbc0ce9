"""Run the stack until told to stop, and say plainly what happens."""

import asyncio
import importlib
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

from deploy.local.child import ChildFailedError
from deploy.local.configuration import Configuration
from deploy.local.logs import Printer, coloured
from deploy.local.setup import setup_link
from deploy.local.stack import PortTakenError, Stack
from deploy.local.state import InUseError
from libs.common.settings import SettingsError

Story = Callable[[Stack], Awaitable[None]]


def run(command: str) -> int:
    """Run `up` or `demo` and return the process's exit code."""
    try:
        return asyncio.run(_until_signalled(command, _readable(Configuration.load())))
    except (ChildFailedError, PortTakenError, InUseError, SettingsError) as error:
        print(f"regent: {error}", file=sys.stderr)
        return 1


def _readable(configuration: Configuration) -> Configuration:
    """Let the services write for people where people read."""
    shape = "console" if coloured(sys.stdout) else "json"
    return replace(configuration, common={"REGENT_LOG_FORMAT": shape, **configuration.common})


async def _until_signalled(command: str, configuration: Configuration) -> int:
    main = asyncio.ensure_future(_up(configuration) if command == "up" else _demo(configuration))
    stopped: list[signal.Signals] = []

    def stop(received: signal.Signals) -> None:
        if not stopped:
            stopped.append(received)
            main.cancel()

    loop = asyncio.get_running_loop()
    for received in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(received, stop, received)
    try:
        await main
    except asyncio.CancelledError:
        if not stopped:
            raise
    return 0


async def _up(configuration: Configuration) -> None:
    printer = Printer(configuration.data / "logs")
    began = time.monotonic()
    async with Stack(configuration, printer) as stack:
        printer("regent", f"ready after {time.monotonic() - began:.1f} s at {stack.configuration.public_url}")
        if link := await setup_link(stack):
            printer("regent", f"set up the first tenant, once: {link}")
        await stack.start_mailbox()
        printer("regent", f"data in {configuration.data}; Ctrl-C stops everything")
        await asyncio.Event().wait()


def with_demo_needs(configuration: Configuration) -> Configuration:
    """Declare the demo's one root for deliveries, beside the data directory; sign the trail every other second."""
    root = configuration.data.with_name(f"{configuration.data.name}-reports")
    root.mkdir(mode=0o700, exist_ok=True)
    everybody = {**configuration.destination_roots.get("*", {}), "demo": str(root)}
    return replace(
        configuration,
        destination_roots={**configuration.destination_roots, "*": everybody},
        common={"REGENT_CHECKPOINT_SECONDS": "2", **configuration.common},
    )


async def _demo(configuration: Configuration) -> None:
    """Run the main job on the example data; the story itself is `examples/demo.py`."""
    story: Story = importlib.import_module("examples.demo").run
    printer = Printer(configuration.data / "logs", quiet=True)
    async with Stack(with_demo_needs(configuration), printer, source=True) as stack:
        printer("regent", f"ready at {configuration.public_url}; logs in {configuration.data / 'logs'}")
        await story(stack)
        if not os.environ.get("ONCE"):
            await stack.start_mailbox()
            printer("regent", f"still running at {configuration.public_url}; Ctrl-C stops everything")
            await asyncio.Event().wait()
