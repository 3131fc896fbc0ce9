"""Who sends whatever it is told to whichever operation."""

from typing import Any, Self

import httpx

from examples.client import Api
from tests.documented import watched
from tests.system.operations import PLATFORM, Operation


class Hand:
    """Sends what it is told, as somebody who may do everything."""

    def __init__(self, url: str, api: Api, operator: Api) -> None:
        self._http = watched(httpx.AsyncClient(base_url=url, timeout=60, trust_env=False))
        self._api = api
        self._operator = operator

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def send(self, operation: Operation, path: str | None = None, **request: Any) -> httpx.Response:
        """Send one request with a good token."""
        token = await self.authorization(operation)
        headers = {"If-Match": '"1"', "Authorization": token, **request.pop("headers", {})}
        request.setdefault("params", operation.required)
        return await self._http.request(operation.method, path or operation.filled(), headers=headers, **request)

    async def authorization(self, operation: Operation) -> str:
        """Return the header of somebody who may do it."""
        of_platform = operation.path.startswith(PLATFORM) and not operation.path.startswith(f"{PLATFORM}/current/")
        api = self._operator if of_platform else self._api
        return (await api._bearer())["Authorization"]

    async def send_as_nobody(self, operation: Operation, headers: list[tuple[str, str]]) -> httpx.Response:
        """Send one request with these headers only."""
        encoded = [(name.encode(), value.encode()) for name, value in headers]
        return await self._http.request(operation.method, operation.filled(), headers=encoded)

    async def body(self, operation: Operation, content: bytes, kind: str = "application/json") -> httpx.Response:
        """Send raw bytes as the body."""
        return await self.send(operation, content=content, headers={"Content-Type": kind})
