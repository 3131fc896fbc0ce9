"""A small client of the public API, as a customer's integration would write it."""

import asyncio
import time
import uuid
from typing import Any, Self

import httpx

_PATIENCE = 30.0


class ApiError(Exception):
    """The API refused; carries its problem document."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        fields = "; ".join(f"{item['field']}: {item['message']}" for item in problem.get("errors", []))
        super().__init__(f"{status} {problem.get('title')}: {problem.get('detail', '')} {fields}".strip())
        self.status = status
        self.problem = problem


class Api:
    """Talks to the gateway with an OAuth2 client's token, renewed before it expires."""

    def __init__(self, url: str, client_id: str = "", client_secret: str = "", token: str | None = None) -> None:
        self._http = httpx.AsyncClient(base_url=url, timeout=60, trust_env=False)
        self._credentials = (client_id, client_secret)
        self._token = token
        self._expires = float("inf") if token else 0.0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def get(self, path: str, **parameters: Any) -> Any:
        """Return a resource."""
        return (await self._send("GET", path, params=parameters)).json()

    async def post(self, path: str, body: Any = None) -> Any:
        """Create or do something, once however often it is sent."""
        return (await self._send("POST", path, json=body or {}, headers={"Idempotency-Key": str(uuid.uuid4())})).json()

    async def put(self, path: str, body: Any) -> None:
        """Replace something."""
        await self._send("PUT", path, json=body)

    async def change(self, path: str, body: Any) -> Any:
        """Replace a resource in the state in which it is now; returns what it has become."""
        read = await self._send("GET", path)
        return (await self._send("PUT", path, json=body, headers={"If-Match": read.headers["ETag"]})).json()

    async def content(self, path: str) -> bytes:
        """Return a file."""
        return (await self._send("GET", path)).content

    async def pages(self, path: str, **parameters: Any) -> list[Any]:
        """Return all entries of a list."""
        items: list[Any] = []
        page = await self.get(path, limit=500, **parameters)
        items += page["items"]
        while page["next"]:
            page = await self.get(path, limit=500, cursor=page["next"], **parameters)
            items += page["items"]
        return items

    async def _send(self, method: str, path: str, **request: Any) -> httpx.Response:
        """Send; wait and try again while the API says that it will work later."""
        deadline = time.monotonic() + _PATIENCE
        headers = request.pop("headers", {})
        while True:
            answer = await self._http.request(method, path, headers={**headers, **await self._bearer()}, **request)
            if answer.is_success:
                return answer
            wait = answer.headers.get("Retry-After")
            if wait is None or time.monotonic() > deadline:
                raise ApiError(answer.status_code, _problem(answer))
            await asyncio.sleep(min(float(wait), 1.0))

    async def _bearer(self) -> dict[str, str]:
        if time.monotonic() > self._expires - 30:
            answer = await self._http.post(
                "/oauth2/token", data={"grant_type": "client_credentials"}, auth=self._credentials
            )
            if not answer.is_success:
                raise ApiError(answer.status_code, _problem(answer))
            token = answer.json()
            self._token, self._expires = token["access_token"], time.monotonic() + token["expires_in"]
        return {"Authorization": f"Bearer {self._token}"}


def _problem(answer: httpx.Response) -> dict[str, Any]:
    try:
        content = answer.json()
    except ValueError:
        content = {}
    return content if isinstance(content, dict) else {}
