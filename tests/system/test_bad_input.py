"""Whatever is sent to whichever operation: a 4xx with a problem document that names the field, never a 5xx."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Iterator
from itertools import product
from typing import Any

import httpx
import pytest

from deploy.local.routes import owner
from tests.architecture.test_routes import PUBLIC
from tests.sockets import answer_to
from tests.system.hand import Hand
from tests.system.operations import Operation, operations, wrong
from tests.system.world import Tenant, World

OPERATIONS = operations()
FORM = "/oauth2/token"
ROOMY = ("/v1/mappings", "/v1/xsd-sets", "/v1/reports")
LIMIT = 1024 * 1024
LARGE = 25 * 1024 * 1024
LARGEST = 64 * 1024 * 1024
HOSTILE = (
    *("\x00", "a\x00b", "\ud800", "\ufffe\uffff", "%00", "..%2f..%2f", "' OR 1=1 --", "{{7*7}}", "\u202e", "9" * 400),
    "x" * 20_000,
)
THIRDS = 3
PLACES = ("%00", "%ED%A0%80", "%FF", "..%2F..", "x" * 3000, "9" * 30, "-1", "%20")


def named(chosen: Iterator[Operation]) -> pytest.MarkDecorator:
    """Parametrise a test with operations."""
    return pytest.mark.parametrize("operation", list(chosen), ids=str)


everything = named(iter(OPERATIONS))
with_places = named(o for o in OPERATIONS if o.places)
with_body = named(o for o in OPERATIONS if o.takes_json)


def dealt(chosen: Iterator[Operation]) -> pytest.MarkDecorator:
    """Parametrise a test with operations and the part of its values that each gets: a third, and all in the long tests.

    A service's operations take turns with the thirds, so that each service gets all of the values at some of them.
    """
    by_service: dict[str | None, list[Operation]] = {}
    for one in chosen:
        by_service.setdefault(owner(one.path), []).append(one)
    few = [
        pytest.param(one, slice(place % min(THIRDS, len(its)), None, min(THIRDS, len(its))), id=str(one))
        for its in by_service.values()
        for place, one in enumerate(its)
    ]
    whole = [pytest.param(one.values[0], slice(None), id=f"{one.id} all", marks=pytest.mark.long) for one in few]
    return pytest.mark.parametrize(("operation", "part"), [*few, *whole])


@pytest.fixture(scope="module")
async def victim(world: World) -> Tenant:
    return await world.tenant("bad-input")


@pytest.fixture(scope="module")
async def hand(world: World, victim: Tenant) -> AsyncIterator[Hand]:
    async with Hand(world.url, victim.api, await world.operator()) as hand:
        yield hand


def assert_refused(answer: httpx.Response, *fields: str) -> None:
    """Check that it is a problem document of 4xx; where fields are given, that it names one of them."""
    assert 400 <= answer.status_code < 500, (answer.request.url, answer.status_code, answer.text[:500])
    if (answer.request.method, answer.request.url.path) == ("POST", FORM):  # RFC 6749 has its own form
        assert answer.json()["error"]
        return
    assert answer.headers["content-type"] == "application/problem+json", answer.text[:500]
    problem = answer.json()
    assert problem["type"].startswith("urn:regent:problem:"), problem
    assert (problem["status"], problem["request_id"]) == (answer.status_code, answer.headers["x-request-id"])
    assert problem["title"]
    assert "Traceback" not in answer.text
    if fields:
        assert answer.status_code == 422, (answer.request.url, problem)
        found = [error["field"] for error in problem["errors"]]
        assert any(name == field or name.startswith(f"{field}/") for name in found for field in fields), problem


def assert_no_fault_of_ours(answer: httpx.Response) -> None:
    """Check that the answer, be it yes or no, is not an error of the server."""
    if answer.is_success:
        return
    assert_refused(answer)


@dealt(o for o in OPERATIONS if str(o) not in PUBLIC)
async def test_nobody_and_impostors_are_refused(hand: Hand, operation: Operation, part: slice) -> None:
    """Without a token, with garbage, with an unsigned or a doubled one: 401 (S30)."""
    unsigned = ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in (b'{"alg":"none"}', b"{}", b""))
    tokens = ("garbage", "a.b.c", unsigned, "\u00e9")
    presented = [[("Authorization", "Basic eDp5")], *([("Authorization", f"Bearer {t}")] for t in tokens)]
    doubled = [("Authorization", "Bearer a.b.c"), ("Authorization", "Bearer a.b.c")]
    for headers in [[], *[*presented, doubled][part]]:
        answer = await hand.send_as_nobody(operation, headers)
        assert answer.status_code == 401, answer.text
        assert_refused(answer)
        assert answer.headers["www-authenticate"].startswith("Bearer")


@with_places
async def test_ids_of_nothing_are_refused(hand: Hand, operation: Operation) -> None:
    """What exists nowhere is not found, and what is no id is said to be none."""
    body: dict[str, Any] = {"json": {}} if operation.takes_json else {}
    assert_refused(await hand.send(operation, **body))
    for name, schema in operation.places.items():
        if text := wrong(schema):
            assert_refused(await hand.send(operation, operation.filled({name: text}), **body), name)


@dealt(o for o in OPERATIONS if o.places)
async def test_hostile_places_are_refused(hand: Hand, operation: Operation, part: slice) -> None:
    """Texts that are no ids, in every place of every path, are no error of ours."""
    body: dict[str, Any] = {"json": {}} if operation.takes_json else {}
    for name, text in product(operation.places, PLACES[part]):
        assert_no_fault_of_ours(await hand.send(operation, operation.filled({name: text}), **body))


@dealt(o for o in OPERATIONS if o.is_list and not o.places)
async def test_pages_have_bounds(hand: Hand, operation: Operation, part: slice) -> None:
    """Limits, offsets and cursors outside their bounds are refused by name."""
    path, least = operation.filled(), operation.required
    for limit in ("0", "501", "-1", "x", "1.5", "", "9" * 30)[part]:
        assert_refused(await hand.send(operation, path, params={**least, "limit": limit}), "limit")
    for offset in ("1001", "-1", "x", "9" * 30)[part]:
        assert_refused(await hand.send(operation, path, params={**least, "offset": offset}), "offset")
    for cursor in [*_cursors()][part]:
        assert_refused(await hand.send(operation, path, params={**least, "cursor": cursor}), "cursor")


def _cursors() -> Iterator[str]:
    yield from ("x", "!!!", "\u00e9", "\x00", "c" * 501)
    values: list[Any] = [[], ["x"], {}, None, [None], [[]], [1, 2, 3, 4], ["\x00"], [10**40], [True], ["9999-99-99"]]
    yield from (base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=") for value in values)


@dealt(o for o in OPERATIONS if o.queries)
async def test_queries_of_wrong_types_are_refused(hand: Hand, operation: Operation, part: slice) -> None:
    """A parameter of the wrong type is named; hostile text in one is no error of ours."""
    for name, (schema, _) in operation.queries.items():
        if text := wrong(schema):
            answer = await hand.send(operation, params={**operation.required, name: text})
            assert_refused(answer, name, *operation.places)
        for text in (HOSTILE[:3] + HOSTILE[5:10])[part]:
            value = text.encode("utf-8", "surrogatepass").decode("latin-1")
            assert_no_fault_of_ours(await hand.send(operation, params={**operation.required, name: value}))


@dealt(o for o in OPERATIONS if o.takes_json)
async def test_bodies_that_are_no_objects_are_refused(hand: Hand, operation: Operation, part: slice) -> None:
    """Not JSON, not UTF-8, not an object, nested without end, or announced as something else."""
    deep = b'{"name":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    broken = (b"{", b"{]", b"nul", b"\xff\xfe", b'{"a":1}{"b":2}', b"[" * 100_000, deep, b'{"a": NaN}', b"{'a': 1}")
    for content in (*broken, b"[]", b'"text"', b"7", b"true", b"[[]]")[part]:
        assert_refused(await hand.body(operation, content))
    kinds = ("text/plain", "application/xml", "multipart/form-data", "application/x-www-form-urlencoded", "")
    for kind in kinds[part]:
        assert_refused(await hand.body(operation, b'{"surprise": 1}', kind))


@with_body
async def test_unknown_fields_are_refused_by_name(hand: Hand, operation: Operation) -> None:
    """A field that nobody declared is named, however it is written."""
    for name in ("surprise", "__proto__", "tenant_id", "a/b~c"):
        pointer = "/" + name.replace("~", "~0").replace("/", "~1")
        assert_refused(await hand.body(operation, json.dumps({name: 1}).encode()), pointer)
    for name in ("\x00", "\ud800", "\uffff"):
        assert_refused(await hand.body(operation, json.dumps({name: 1}).encode()))


@with_body
async def test_fields_of_wrong_types_are_refused_by_name(hand: Hand, operation: Operation) -> None:
    """Each field with a value that none of its types allows is named."""
    for name in operation.fields:
        assert_refused(await hand.body(operation, json.dumps({name: [[]]}).encode()), f"/{name}")


@dealt(o for o in OPERATIONS if o.takes_json)
async def test_hostile_texts_are_no_error_of_ours(hand: Hand, operation: Operation, part: slice) -> None:
    """NUL, lone surrogates and the rest, in every field of every body."""
    for name in operation.fields:
        for text in HOSTILE[part]:
            assert_no_fault_of_ours(await hand.body(operation, json.dumps({name: text}).encode()))


@named(o for o in OPERATIONS if o.takes_json and (not o.path.startswith(ROOMY) or o.path in ROOMY))
async def test_bodies_announced_too_large_are_refused(world: World, hand: Hand, operation: Operation) -> None:
    """Who announces and sends more than is taken here is refused, in words."""
    size = (LARGEST if operation.path in ROOMY else LIMIT) + 1
    head = [f"{operation.method} {operation.filled()} HTTP/1.1", "Host: localhost", f"Content-Length: {size}"]
    head += [f"Authorization: {await hand.authorization(operation)}", "Content-Type: application/json", "", ""]
    parts = ["\r\n".join(head).encode(), *[b" " * 64 * 1024] * (size // 65536 + 1)]
    answer = await asyncio.to_thread(answer_to, world.stack.configuration.port, parts)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"application/problem+json" in answer


@named(o for o in OPERATIONS if o.takes_json and not o.path.startswith(ROOMY))
async def test_bodies_that_turn_out_too_large_are_refused(hand: Hand, operation: Operation) -> None:
    """A body that announces no size is refused as soon as it is beyond the limit."""

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(17):
            yield b" " * 64 * 1024

    answer = await hand.send(operation, content=endless(), headers={"Content-Type": "application/json"})
    assert answer.status_code == 413, answer.text
    assert_refused(answer)


@pytest.mark.parametrize("announced", [{}, {"Content-Length": str(LARGE)}])
@pytest.mark.parametrize("path", ["/v1/users", "/v1/connectors", "/v1/schedules", "/v1/rules", "/v1/audit/verify"])
async def test_who_sends_far_too_much_hears_why(hand: Hand, path: str, announced: dict[str, str]) -> None:
    """A client that reads no answer before it has sent all of a large body still gets it."""

    async def large() -> AsyncIterator[bytes]:
        for _ in range(LARGE // 65_536):
            yield b" " * 64 * 1024

    operation = next(one for one in OPERATIONS if (one.method, one.path) == ("POST", path))
    answer = await hand.send(operation, content=large(), headers={"Content-Type": "application/json", **announced})
    assert answer.status_code == 413, answer.text
    assert_refused(answer)


@everything
async def test_methods_that_are_not_offered_are_refused(hand: Hand, operation: Operation) -> None:
    """A method that a path does not have is 405, not 5xx."""
    answer = await hand.send(Operation("PATCH", *_rest(operation)))
    assert_refused(answer)
    assert answer.status_code == 405


def _rest(operation: Operation) -> tuple[Any, ...]:
    return operation.path, operation.queries, operation.places, operation.fields, operation.takes_json


async def test_paths_of_nobody_are_refused(world: World) -> None:
    """What no service owns is 404, with a problem document."""
    async with httpx.AsyncClient(base_url=world.url, trust_env=False) as client:
        for path in (
            "/",
            "/v1",
            "/v1/nothing",
            "/metrics",
            "/readyz",
            "/healthz",
            "/v2/runs",
            "/v1/runs/../../metrics",
        ):
            answer = await client.get(path)
            assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json"), path
            assert answer.json()["request_id"]
