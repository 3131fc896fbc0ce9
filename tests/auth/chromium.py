"""A real browser: headless Chromium by its DevTools protocol, through a pipe; nothing but Chromium is needed."""

import asyncio
import base64
import fcntl
import itertools
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FLAGS = (
    "--headless=new",
    "--remote-debugging-pipe",
    "--no-sandbox",
    "--no-first-run",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
)
_FAR = 100
"""Descriptors of the pipes start here, so that none is 3 or 4, where the browser wants them."""


def executable() -> str | None:
    """Return the path of Chromium, or None where there is none."""
    found = (shutil.which(name) for name in (os.environ.get("REGENT_CHROMIUM", ""), *_NAMES) if name)
    return next((path for path in found if path), None)


@dataclass(slots=True)
class Chromium:
    """A running browser."""

    commands: asyncio.StreamWriter
    answers: asyncio.StreamReader
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    waiting: dict[int, asyncio.Future[dict[str, Any]]] = field(default_factory=dict)
    tabs: dict[str, "Tab"] = field(default_factory=dict)

    async def listen(self) -> None:
        """Hand out what the browser says."""
        while True:
            said = orjson.loads((await self.answers.readuntil(b"\0"))[:-1])
            if "id" in said:
                future = self.waiting.pop(said["id"])
                if not future.done():
                    future.set_result(said)
            elif said.get("sessionId") in self.tabs:
                self.tabs[said["sessionId"]].hear(said["method"], said["params"])

    async def command(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """Send a command and return its result."""
        number = next(self.numbers)
        future = self.waiting[number] = asyncio.get_running_loop().create_future()
        said = {"id": number, "method": method, "params": parameters, **({"sessionId": session} if session else {})}
        self.commands.write(orjson.dumps(said) + b"\0")
        answer = await asyncio.wait_for(future, 60)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        result: dict[str, Any] = answer["result"]
        return result

    @asynccontextmanager
    async def tab(self) -> AsyncIterator["Tab"]:
        """Yield a tab with cookies of its own."""
        context = (await self.command("Target.createBrowserContext"))["browserContextId"]
        made = await self.command("Target.createTarget", url="about:blank", browserContextId=context)
        attached = await self.command("Target.attachToTarget", targetId=made["targetId"], flatten=True)
        tab = self.tabs[attached["sessionId"]] = Tab(self, attached["sessionId"])
        for domain in ("Page", "Runtime", "Log", "DOM", "Accessibility"):
            await tab.do(f"{domain}.enable")
        yield tab
        await self.command("Target.disposeBrowserContext", browserContextId=context)
        del self.tabs[attached["sessionId"]]


@dataclass(slots=True)
class Tab:
    """A page that somebody looks at."""

    browser: Chromium
    session: str
    complaints: list[str] = field(default_factory=list)

    def hear(self, method: str, said: dict[str, Any]) -> None:
        """Note what the browser complains of: scripts that fail, and what the page's policy forbids."""
        if method == "Log.entryAdded" and said["entry"]["source"] in ("security", "javascript", "violation"):
            self.complaints.append(said["entry"]["text"])
        if method == "Runtime.exceptionThrown":
            self.complaints.append(str(said["exceptionDetails"]))

    async def do(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command to this tab."""
        return await self.browser.command(method, self.session, **parameters)

    async def open(self, url: str) -> None:
        """Go to an address."""
        await self.do("Page.navigate", url=url)
        await self.until(f"location.href.startsWith({orjson.dumps(url.partition('#')[0]).decode()})")

    async def value(self, expression: str) -> Any:
        """Return the value of an expression in the page."""
        said = await self.do("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in said:
            raise RuntimeError(str(said["exceptionDetails"]))
        return said["result"].get("value")

    async def until(self, expression: str, seconds: float = 60) -> None:
        """Wait until an expression is true in a page that has been read whole."""
        for _ in range(int(seconds / 0.03)):
            try:
                if await self.value(f"document.readyState === 'complete' && !!({expression})"):
                    return
            except RuntimeError:  # between two pages
                pass
            await asyncio.sleep(0.03)
        raise AssertionError(f"never came true: {expression}\n{await self.text()}")

    async def text(self) -> str:
        """Return what can be read on the page."""
        return str(await self.value("location.href + '\\n' + document.body.innerText"))

    async def shows(self, text: str) -> None:
        """Wait until the page shows a text."""
        await self.until(f"document.body.innerText.includes({orjson.dumps(text).decode()})")

    async def arrives(self, title: str) -> None:
        """Wait until a page of this title is open."""
        await self.until(f"document.title === {orjson.dumps(title + ' - Regent').decode()}")

    async def fill(self, selector: str, text: str) -> None:
        """Type into a field."""
        await self.value(f"document.querySelector({orjson.dumps(selector).decode()}).focus()")
        await self.do("Input.insertText", text=text)

    async def press(self, key: str, code: int) -> None:
        """Press a key."""
        letter = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            more = letter if kind == "keyDown" else {}
            await self.do("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **more)

    async def click(self, selector: str) -> None:
        """Click on the middle of something."""
        found = (
            f"(() => {{ const at = document.querySelector({orjson.dumps(selector).decode()}); at.scrollIntoView();"
            "const box = at.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2] })()"
        )
        x, y = await self.value(found)
        for kind in ("mousePressed", "mouseReleased"):
            await self.do("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    async def passkeys(self) -> None:
        """Plug an authenticator in that is there and whose owner agrees."""
        options = {
            "protocol": "ctap2",
            "transport": "internal",
            "hasResidentKey": True,
            "hasUserVerification": True,
            "isUserVerified": True,
            "automaticPresenceSimulation": True,
        }
        await self.do("WebAuthn.enable")
        await self.do("WebAuthn.addVirtualAuthenticator", options=options)

    async def looks(self, *, dark: bool = False, width: int = 1100, height: int = 900) -> None:
        """Look at pages in the dark, or on a small screen."""
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        await self.do("Emulation.setEmulatedMedia", features=scheme)
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        await self.do("Emulation.setDeviceMetricsOverride", **size)

    async def keep(self, name: str) -> None:
        """Keep a picture of the page where REGENT_SCREENSHOTS names a folder."""
        folder = os.environ.get("REGENT_SCREENSHOTS")
        if folder:
            picture = await self.do("Page.captureScreenshot", format="png", captureBeyondViewport=True)
            Path(folder, f"{name}.png").write_bytes(base64.b64decode(picture["data"]))


@asynccontextmanager
async def chromium(path: str, folder: Path) -> AsyncIterator[Chromium]:
    """Start a browser with an empty profile."""
    reads, commands, answers, writes = (_far(end) for pair in (os.pipe(), os.pipe()) for end in pair)
    run = f'exec "$0" "$@" 3<&{reads} 4>&{writes} >/dev/null 2>&1'
    process = await asyncio.create_subprocess_exec(
        "bash",
        "-c",
        run,
        path,
        *_FLAGS,
        f"--user-data-dir={folder}",
        pass_fds=(reads, writes),
        env=_environment(folder),
    )
    os.close(reads)
    os.close(writes)
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=2**26)
    heard, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(answers, "rb"))
    said, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, os.fdopen(commands, "wb"))
    browser = Chromium(asyncio.StreamWriter(said, protocol, None, loop), reader)
    listening = asyncio.create_task(browser.listen())
    try:
        yield browser
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        process.terminate()
        await process.wait()
        heard.close()
        said.close()


def _environment(folder: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8"}


def _far(end: int) -> int:
    """Move a descriptor out of the way."""
    copy = fcntl.fcntl(end, fcntl.F_DUPFD, _FAR)
    os.close(end)
    return copy
