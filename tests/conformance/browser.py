"""Somebody at a browser that knows no scripts, and what its pages and redirects say."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx

PASSWORD = "correct horse battery staple"


class _Forms(HTMLParser):
    """Reads the forms of a page: where each leads, and its fields."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.found.append((given["action"], {}))
        if tag == "input" and self.found:
            self.found[-1][1][given["name"]] = given.get("value", "")


@dataclass(slots=True)
class Browser:
    """Somebody at a browser that knows no scripts; it keeps Secure cookies on localhost, as browsers do."""

    http: httpx.AsyncClient
    cookies: dict[str, str] = field(default_factory=dict)

    async def send(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Send a request with the cookies, and keep those that are set."""
        headers = {**more.pop("headers", {})}
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        answer = await self.http.request(method, path, headers=headers, **more)
        for line in answer.headers.get_list("set-cookie"):
            name, _, value = line.partition(";")[0].partition("=")
            self.cookies[name] = value
        self.http.cookies.clear()
        return answer

    async def open(self, parameters: Mapping[str, str] | str) -> httpx.Response:
        """Open the authorization endpoint."""
        query = parameters if isinstance(parameters, str) else urlencode(parameters)
        return await self.send("GET", f"/oauth2/authorize?{query}")

    async def submit(self, page: httpx.Response, **fields: str) -> httpx.Response:
        """Fill the first form of a page in and send it."""
        action, given = _Forms(page.text).found[0]
        return await self.send("POST", action, data={**given, **fields})

    async def log_in(self, email: str, asked: Mapping[str, str]) -> httpx.Response:
        """Log in on the way to an app that asks for something; the session stays."""
        return await self.submit(await self.open(asked), email=email, password=PASSWORD)

    async def allow(self, parameters: Mapping[str, str] | str) -> dict[str, str]:
        """Allow what is asked for, somebody being logged in; returns what the client is told."""
        page = await self.open(parameters)
        if page.status_code == 200:
            page = await self.submit(page, decision="allow")
        return told(page)


def told(answer: httpx.Response) -> dict[str, str]:
    """Return what an answer tells the client by the browser."""
    assert answer.status_code == 303, f"{answer.status_code} {answer.text[-600:]}"
    return dict(parse_qsl(urlsplit(answer.headers["location"]).query, keep_blank_values=True))


def form_of(page: httpx.Response) -> dict[str, str]:
    """Return the fields of a page's first form."""
    return _Forms(page.text).found[0][1]
