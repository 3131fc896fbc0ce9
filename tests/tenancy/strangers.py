"""A stranger at somebody else's ids: what an API gives away is returned, in words.

The stranger asks for what the owner has and for what nobody has. Whatever differs between the two answers, be it
status, body, headers or time, tells that something exists.
"""

import asyncio
import base64
import json
import random
import re
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx

from tests.system.operations import Operation
from tests.tenancy.bodies import has_ids, sampled
from tests.tenancy.coverage import OTHER_PLACES, kind_of

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:\d\d)")
_BODIES = re.compile(r'"body":"([A-Za-z0-9+/=]+)"')
_HEAD = re.compile(r'^\{"regent_export".*\n')  # an export's first line names the stranger's own newest checkpoint
_OWN_HEADERS = ("content-disposition", "x-request-id", "date", "content-length", "traceparent", "etag", "location")
SERIES = ((16, 1.5), (32, 2.0), (80, 3.0), (80, 3.0))
"""Looks, each only where the one before it said something: rounds, and how many times the noise a difference has to be."""
_NORMAL = 1.4826 * 1.2533 * 2**0.5  # from a median deviation to the error of a difference of two medians
_LEAST = 0.05
_AT_ONCE = 12

Body = Mapping[str, Any] | None
Times = tuple[list[float], list[float], list[float]]


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

    def named(self, name: str) -> str | None:
        """Return the id of the owner's that a field or a place means by its name, if it says of what kind."""
        return next((id_ for kind, id_ in self.ids.items() if kind.rpartition("/")[2] == kind_of(name)), None)

    def path(self, operation: Operation, id_: str) -> str:
        """Return the path with an id in its first place, and what the owner has of their kind in the others."""
        others = {name: known for name in operation.places if (known := self.named(name))}
        return operation.filled({**OTHER_PLACES, **others, **self.more, next(iter(operation.places)): id_})

    async def send(self, method: str, path: str, params: Mapping[str, str], body: Body = None) -> httpx.Response:
        """Send one request."""
        headers = {**await self.bearer(), "If-Match": '"1"'}
        content: dict[str, Any] = {} if body is None else {"json": body}
        return await self.http.request(method, path, headers=headers, params=dict(params), **content)

    async def at_an_id(self, operation: Operation, body: Body = None) -> list[str]:
        """Return how an operation at the owner's id differs from one at nobody's, or is anything but not found."""
        theirs, nobodys = self.ids[operation.kind], str(uuid4())
        required = operation.required
        found = await self.send(operation.method, self.path(operation, theirs), required, body)
        blank = await self.send(operation.method, self.path(operation, nobodys), required, body)
        faults = [] if found.status_code == 404 else [f"{operation} answers {found.status_code} at others' ids"]
        if told(found, theirs) != told(blank, nobodys):
            faults.append(f"{operation} tells what exists: {told(found, theirs)} and {told(blank, nobodys)}")
        return faults + self._private_in(operation, found, theirs)

    async def in_a_list(self, operation: Operation) -> list[str]:
        """Return what a list, search or export shows of the owner, whatever it is filtered by."""
        plainly = await self.send("GET", operation.path, operation.required)
        found = await asyncio.gather(*(self._by_a_filter(operation, *each) for each in self._filters(operation)))
        return [*self._private_in(operation, plainly), *(fault for faults in found for fault in faults)]

    async def _by_a_filter(self, operation: Operation, name: str, values: Sequence[str], nobodys: str) -> list[str]:
        """The same by one filter: with each value of the owner's, against one value of the same form of nobody's."""
        blank = await self.send("GET", operation.path, {**operation.required, name: nobodys})
        faults = []
        for value in values:
            shown = await self.send("GET", operation.path, {**operation.required, name: value})
            faults += self._private_in(operation, shown, value)
            if told(shown, value) != told(blank, nobodys):
                faults.append(f"{operation} tells what exists by {name}: {told(shown)} and {told(blank)}")
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
        both = (body, json.loads(text))
        found, blank = await asyncio.gather(*(self._with_body(operation, each) for each in both))
        if found.status_code == blank.status_code == 201:
            found, blank = [await self._published(operation, answer.json()["id"]) for answer in (found, blank)]
        if plain(found) != plain(blank):
            return [f"{operation} tells what exists by its body: {plain(found)} and {plain(blank)}"]
        return []

    async def in_a_made_body(self, operation: Operation) -> list[str]:
        """The same with a body made from the document: each place for an id holds one of the owner's.

        By the place's name where it says of what kind; otherwise each in turn. They are sent side by side: what is not
        known is waited for.
        """
        if not has_ids(operation.body, operation.schemas):
            return []
        bodies = {json.dumps(self._made(operation, self._theirs(given))) for given in self.ids.values()}
        few = asyncio.Semaphore(_AT_ONCE)

        async def sent(text: str) -> httpx.Response:
            async with few:
                return await self._with_body(operation, json.loads(text))

        blank, *answers = await asyncio.gather(*map(sent, [json.dumps(self._made(operation, _nobodys)), *bodies]))
        faults = []
        for found in answers:
            faults += self._private_in(operation, found, *self.ids.values())
            if plain(found) != plain(blank):
                faults.append(f"{operation} tells what exists by its body: {plain(found)} and {plain(blank)}")
        return faults

    def _made(self, operation: Operation, id_for: Callable[[str], str]) -> Any:
        return sampled(operation.body, operation.schemas, id_for)

    async def _with_body(self, operation: Operation, body: Mapping[str, Any]) -> httpx.Response:
        return await self.send(operation.method, operation.filled(), operation.required, _renamed(body))

    def _theirs(self, given: str) -> Callable[[str], str]:
        return lambda name: self.named(name) or given

    async def _published(self, operation: Operation, id_: str) -> httpx.Response:
        """Try to put a draft of one's own in force; 404 or 405 where a thing of the kind is never published."""
        return await self.send("POST", f"{operation.path}/{id_}/publish", {}, {"effective_from": "2000-01-01"})

    async def in_time(self, operation: Operation, looks: Sequence[tuple[int, float]] = SERIES) -> list[str]:
        """Return whether the time to an answer tells the owner's id from nobody's.

        A second id of nobody's is the control: whatever disturbs the machine disturbs all three, which are asked in turns
        of random order. A few rounds are enough where they say nothing; what they say has to come again each time, in more.
        """
        said = ""
        for rounds, errors in looks:
            differs, said = compared(await self._measured(operation, rounds), errors)
            if not differs:
                return []
        return [f"{operation} tells what exists by its time: {said}"]

    async def _measured(self, operation: Operation, rounds: int) -> Times:
        """Return seconds at the owner's id, at nobody's and at another of nobody's."""
        measured: Times = ([], [], [])
        for _ in range(rounds):
            ids = (self.ids[operation.kind], str(uuid4()), str(uuid4()))
            for which in random.sample(range(3), 3):
                began = time.perf_counter()
                await self.send(operation.method, self.path(operation, ids[which]), operation.required)
                measured[which].append(time.perf_counter() - began)
        return measured

    def _filters(self, operation: Operation) -> Iterator[tuple[str, list[str], str]]:
        """Yield filters with what is the owner's, and with a text of the same form that is nobody's.

        A filter by an id gets the one that it names, or all where its name does not say of what kind.
        """
        for name, (schema, _) in operation.queries.items():
            kinds = {one.get("format") or one.get("type") for one in [schema, *schema.get("anyOf", [])]}
            if name in ("cursor", "limit", "offset") or any("enum" in one for one in schema.get("anyOf", [])):
                continue
            wanted = set(self.ids.values()) if kinds & {"uuid", "string"} else set()
            if "uuid" in kinds and (known := self.named(name)):
                wanted = {known}
            wanted |= self.private if "string" in kinds and "uuid" not in kinds else set()
            ids = {value for value in wanted if _UUID.search(value)}
            for values, nobodys in ((ids, str(uuid4())), (wanted - ids, uuid4().hex)):
                if values:
                    yield name, sorted(values), nobodys

    def _private_in(self, operation: Operation, answer: httpx.Response, *echoed: str) -> list[str]:
        text = answer.text + "".join(base64.b64decode(body).decode() for body in _BODIES.findall(answer.text))
        for known in echoed:
            text = text.replace(known, "")
        return [f"{operation} shows {secret} of somebody else" for secret in sorted(self.private) if secret in text]


def _nobodys(_name: str) -> str:
    return str(uuid4())


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


def compared(times: Times, errors: float) -> tuple[bool, str]:
    """Say whether the first series differs from the second by more than the second does from the third, and how much.

    Rounds are compared one by one and their medians taken, so that neither slow requests nor a drift count. The noise of
    such a median is known from the control pair; a difference is one of at least `errors` times that, and a twentieth.
    """
    theirs, nobodys, others = times
    shifts = [one - other for one, other in zip(theirs, nobodys, strict=True)]
    control = [one - other for one, other in zip(others, nobodys, strict=True)]
    usual = statistics.median(nobodys)
    noise = statistics.median(abs(shift) for shift in control) * _NORMAL / len(control) ** 0.5
    shift = statistics.median(shifts) - statistics.median(control)
    said = f"{shift * 1000:+.2f} ms at {usual * 1000:.2f} ms, noise {noise * 1000:.2f} ms"
    return abs(shift) > max(errors * noise, _LEAST * usual), said


def by_owner(shown: Mapping[str, Any], operation: Operation) -> Body:
    """Return a body that would do for the owner, of what the owner reads; None where the operation takes none."""
    if not operation.takes_json:
        return None
    if operation.path.endswith("/secret"):
        return {"secret": {"password": "x"}}
    made: dict[str, Any] = sampled(operation.body, operation.schemas, _nobodys)
    if operation.method != "PUT":
        return made
    known = {**(shown.get("spec") or {}), **shown}
    return {**made, **{name: known[name] for name in operation.fields if name in known}}
