"""A stranger at somebody else's ids: what an API gives away is returned, in words.

The stranger asks for what the owner has and for what nobody has. Whatever differs between the two answers, be it
status, body, headers or time, tells that something exists.
"""

import base64
import json
import random
import re
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx

from tests.system.operations import Operation, sample

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:\d\d)")
_BODIES = re.compile(r'"body":"([A-Za-z0-9+/=]+)"')
_HEAD = re.compile(r'^\{"regent_export".*\n')  # an export's first line names the stranger's own newest checkpoint
_OWN_HEADERS = ("content-disposition", "x-request-id", "date", "content-length", "traceparent", "etag", "location")
_PAIRS = 40
_TIMES = 3
_LOUD = 5.0
_SHARE = 0.3

Body = Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Stranger:
    """Somebody with a good token and every right in their own tenant; `ids` are the owner's, by kind.

    `private` are texts of the owner's that no answer may hold.
    """

    http: httpx.AsyncClient
    bearer: Callable[[], Awaitable[dict[str, str]]]
    ids: Mapping[str, str]
    private: frozenset[str]
    more: Mapping[str, str] = field(default_factory=dict)

    def kind(self, operation: Operation) -> str:
        """Return the kind of thing that an operation's first place names."""
        return operation.path.split("/")[2]

    def path(self, operation: Operation, id_: str) -> str:
        """Return the path with an id in its first place."""
        return operation.filled({**self.more, next(iter(operation.places)): id_})

    async def send(self, method: str, path: str, params: Mapping[str, str], body: Body = None) -> httpx.Response:
        """Send one request."""
        headers = {**await self.bearer(), "If-Match": '"1"'}
        content: dict[str, Any] = {} if body is None else {"json": body}
        return await self.http.request(method, path, headers=headers, params=dict(params), **content)

    async def at_an_id(self, operation: Operation, body: Body = None) -> list[str]:
        """Return how an operation at the owner's id differs from one at nobody's, or is anything but not found."""
        theirs, nobodys = self.ids[self.kind(operation)], str(uuid4())
        required = operation.required
        found = await self.send(operation.method, self.path(operation, theirs), required, body)
        blank = await self.send(operation.method, self.path(operation, nobodys), required, body)
        faults = [] if found.status_code == 404 else [f"{operation} answers {found.status_code} at others' ids"]
        if told(found, theirs) != told(blank, nobodys):
            faults.append(f"{operation} tells what exists: {told(found, theirs)} and {told(blank, nobodys)}")
        return faults + self._private_in(operation, found, theirs)

    async def in_a_list(self, operation: Operation) -> list[str]:
        """Return what a list, search or export shows of the owner, whatever it is filtered by."""
        faults = []
        for found, blank in self._filters(operation):
            shown = await self.send("GET", operation.path, found)
            faults += self._private_in(operation, shown, *found.values())
            if found == blank:
                continue
            other = await self.send("GET", operation.path, blank)
            if told(shown, *found.values()) != told(other, *blank.values()):
                faults.append(f"{operation} tells what exists by {sorted(found)}: {told(shown)} and {told(other)}")
        return faults

    async def on_a_page(self, operation: Operation, cursor: str) -> list[str]:
        """Return what the owner's cursor shows a stranger."""
        shown = await self.send("GET", operation.path, {**operation.required, "cursor": cursor})
        return self._private_in(operation, shown)

    async def in_a_body(self, operation: Operation, body: Mapping[str, Any]) -> list[str]:
        """Return how a body that names the owner's ids is answered otherwise than one that names nobody's."""
        text = json.dumps(body)
        for theirs in self.ids.values():
            text = text.replace(theirs, str(uuid4()))
        found, blank = [
            await self.send(operation.method, operation.filled(), operation.required, _renamed(each))
            for each in (body, json.loads(text))
        ]
        if found.status_code == blank.status_code == 201:
            found, blank = [await self._published(operation, answer.json()["id"]) for answer in (found, blank)]
        if plain(found) != plain(blank):
            return [f"{operation} tells what exists by its body: {plain(found)} and {plain(blank)}"]
        return []

    async def _published(self, operation: Operation, id_: str) -> httpx.Response:
        """Try to put a draft of one's own in force; 404 or 405 where a thing of the kind is never published."""
        return await self.send("POST", f"{operation.path}/{id_}/publish", {}, {"effective_from": "2000-01-01"})

    async def in_time(self, operation: Operation) -> list[str]:
        """Return whether the time to an answer tells the owner's id from nobody's, three times in a row."""
        said = ""
        for _ in range(_TIMES):
            theirs, nobodys = await self._measured(operation)
            if not differ(theirs, nobodys):
                return []
            said = f"{statistics.median(theirs):.2f} and {statistics.median(nobodys):.2f} ms"
        return [f"{operation} tells what exists by its time: {said}"]

    async def _measured(self, operation: Operation) -> tuple[list[float], list[float]]:
        """Return milliseconds at the owner's id and at nobody's, asked in turns of random order."""
        measured: tuple[list[float], list[float]] = ([], [])
        for _ in range(_PAIRS):
            for which in random.sample((0, 1), 2):
                id_ = (self.ids[self.kind(operation)], str(uuid4()))[which]
                began = time.perf_counter()
                await self.send(operation.method, self.path(operation, id_), operation.required)
                measured[which].append((time.perf_counter() - began) * 1000)
        return measured

    def _filters(self, operation: Operation) -> Iterator[tuple[dict[str, str], dict[str, str]]]:
        """Yield queries that name what is the owner's, each with one that names nobody's."""
        yield operation.required, operation.required
        for name, (schema, _) in operation.queries.items():
            kinds = {one.get("format") or one.get("type") for one in [schema, *schema.get("anyOf", [])]}
            if name in ("cursor", "limit", "offset") or any("enum" in one for one in schema.get("anyOf", [])):
                continue
            wanted = set(self.ids.values()) if kinds & {"uuid", "string"} else set()
            wanted |= self.private if "string" in kinds and "uuid" not in kinds else set()
            for value in sorted(wanted):
                nobodys = str(uuid4()) if _UUID.search(value) else uuid4().hex
                yield {**operation.required, name: value}, {**operation.required, name: nobodys}

    def _private_in(self, operation: Operation, answer: httpx.Response, *echoed: str) -> list[str]:
        text = answer.text + "".join(base64.b64decode(body).decode() for body in _BODIES.findall(answer.text))
        for known in echoed:
            text = text.replace(known, "")
        return [f"{operation} shows {secret} of somebody else" for secret in sorted(self.private) if secret in text]


def _renamed(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body under a name of its own: the stranger may make a thing of a name once."""
    return {**body, **({"name": str(uuid4())} if "name" in body else {})}


def told(answer: httpx.Response, *asked: str) -> tuple[int, str, tuple[tuple[str, str], ...]]:
    """Return what an answer says, without what was asked and what is new in every answer."""
    text = _HEAD.sub("", answer.text)
    for word in asked:
        text = text.replace(word, "<asked>")
    request = answer.headers.get("x-request-id")
    text = text.replace(request, "<request>") if request else text
    headers = sorted((name, value) for name, value in answer.headers.items() if name not in _OWN_HEADERS)
    return answer.status_code, text, tuple(headers)


def plain(answer: httpx.Response) -> tuple[int, str]:
    """Return status and body with every id and instant made the same."""
    request = answer.headers.get("x-request-id")
    text = answer.text.replace(request, "<request>") if request else answer.text
    return answer.status_code, _INSTANT.sub("<time>", _UUID.sub("<id>", text))


def differ(one: list[float], other: list[float]) -> bool:
    """Say whether two series of times are of different origin: Mann and Whitney's test, and a third between medians."""
    ranks = {value: rank for rank, value in enumerate(sorted([*one, *other]), 1)}
    first, second = len(one), len(other)
    statistic = sum(ranks[value] for value in one) - first * (first + 1) / 2
    spread = (first * second * (first + second + 1) / 12) ** 0.5
    medians = sorted((statistics.median(one), statistics.median(other)))
    return abs(statistic - first * second / 2) / spread > _LOUD and medians[1] - medians[0] > _SHARE * medians[0]


def by_owner(shown: Mapping[str, Any], operation: Operation) -> Body:
    """Return a body that would do for the owner, of what the owner reads; None where the operation takes none."""
    if not operation.takes_json:
        return None
    if operation.path.endswith("/secret"):
        return {"secret": {"password": "x"}}
    if operation.method != "PUT":
        return {}
    return {name: shown[name] if name in shown else sample({}) for name in operation.fields}
