"""The exception queue under hands that do not care: refused with a problem that names the field, and nothing has changed."""

import asyncio
import base64
import json
from collections import Counter
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import httpx
import pytest

from examples.client import Api
from libs.common.context import utc_now
from tests.sockets import answer_to
from tests.system.payments import filed
from tests.system.test_exceptions import LATER, corrected, payments, until
from tests.system.world import Tenant, World

AMEND = {"reason": "sign", "changes": [{"field": "amount", "value": "1.25"}]}
WAIVE = {"reason": "a free one", "expires_on": LATER}


class Stage(NamedTuple):
    """A tenant with three open exceptions of a run, and somebody else's exception."""

    api: Api
    run: str
    rows: dict[str, Any]
    strange: Any


@pytest.fixture(scope="module")
async def stage(world: World) -> Stage:
    ours, theirs = [await _held(await world.tenant(name)) for name in ("abused", "strange")]
    return Stage(ours[0], ours[1], ours[2], theirs[2]["P001"])


async def _held(tenant: Tenant) -> tuple[Api, str, dict[str, Any]]:
    run = await (await filed(tenant, payments())).run()
    rows = (await tenant.api.get("/v1/exceptions", run_id=run["id"]))["items"]
    return tenant.api, run["id"], {row["key"]: row for row in rows}


async def ask(api: Api, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
    """Send once, whatever comes of it."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    if body is not None:
        given.setdefault("Content-Type", "application/json")
    content = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else None
    return await api._http.request(method, path, content=content, headers={**await api._bearer(), **given})


def refused(answer: httpx.Response, status: int, field: str | None = None, kind: str | None = None) -> None:
    """Hold an answer to be a problem document of a status that names a field."""
    assert answer.status_code == status, answer.text
    problem = answer.json()
    assert field is None or field in [one["field"] for one in problem["errors"]], problem
    assert kind is None or problem["type"].endswith(kind), problem


async def states(stage: Stage) -> list[tuple[str, str, int]]:
    """Return key, status and revision of the run's exceptions."""
    rows = (await stage.api.get("/v1/exceptions", run_id=stage.run))["items"]
    return sorted((row["key"], row["status"], row["revision"]) for row in rows)


def cursor(*parts: Any) -> str:
    """Return a cursor that no list gave out."""
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


NOBODYS = str(UUID(int=7, version=4))


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"cursor": "!!"}, "cursor"), ({"cursor": cursor("a", "b")}, "cursor"), ({"cursor": cursor()}, "cursor"),
        ({"cursor": cursor("0001-01-01T00:00:00+14:00", NOBODYS)}, "cursor"),
        ({"cursor": cursor("9999-12-31T23:59:59-14:00", NOBODYS)}, "cursor"),
        ({"cursor": cursor(None, None)}, "cursor"), ({"cursor": cursor(2**70, 1)}, "cursor"),
        ({"cursor": cursor("2026-03-06T00:00:00", NOBODYS)}, "cursor"), ({"limit": "0"}, "limit"),
        ({"limit": "501"}, "limit"), ({"offset": "1001"}, "offset"), ({"order": "sideways"}, "order"),
        ({"status": "lost"}, "status"), ({"run_id": "1"}, "run_id"), ({"older_than": "P9999999D"}, "older_than"),
        ({"older_than": "-1"}, "older_than"), ({"older_than": "nan"}, "older_than"), ({"older_than": "1e400"}, "older_than"),
        ({"business_date": "2026-02-30"}, "business_date"), ({"key": "x" * 2001}, "key"), ({"cause": "x"}, "cause"),
        ({"field": "amount"}, None), ({"field": "amount", "value": "\x00"}, "value"), ({"phase": "both"}, "phase"),
    ],
    ids=lambda value: str(value)[:60],
)  # fmt: skip
async def test_a_list_refuses_what_it_does_not_know(stage: Stage, query: dict[str, str], field: str | None) -> None:
    """Cursors that no list gave out, and values outside of their bounds, are refused by name."""
    answer = await ask(stage.api, "GET", f"/v1/exceptions?{httpx.QueryParams(query)}")
    refused(answer, 422, field)


async def test_a_cursor_of_another_tenant_shows_ones_own_only(stage: Stage) -> None:
    """A cursor is a place, not a right."""
    place = cursor("2099-01-01T00:00:00+00:00", stage.strange["id"])
    items = (await stage.api.get("/v1/exceptions", cursor=place))["items"]
    assert {row["id"] for row in items} <= {row["id"] for row in stage.rows.values()}


@pytest.mark.parametrize(
    ("action", "body"),
    [("amend", AMEND), ("waive", WAIVE), ("assign", {"assignee": None}), ("comment", {"text": "x"}), ("resubmit", {})],
)
async def test_what_is_anothers_is_nowhere(stage: Stage, action: str, body: dict[str, Any]) -> None:
    """An id of another tenant is answered as one that never was; so is its run in a filter."""
    for id_ in (stage.strange["id"], str(uuid4())):
        refused(await ask(stage.api, "POST", f"/v1/exceptions/{id_}/{action}", body, If_Match='"1"'), 404)
    if action != "comment":
        meant = {"filter": {"run_id": stage.strange["run_id"]}, "dry_run": True}
        answer = await ask(stage.api, "POST", f"/v1/exceptions:{action}", {**meant, **body})
        assert answer.json() == {"matching": 0, "more": False, "changed": 0}
        answer = await ask(
            stage.api, "POST", f"/v1/exceptions:{action}", {**meant, **body, "dry_run": False, "expected": 1}
        )
        refused(answer, 409, kind="other-count")


@pytest.mark.parametrize(
    ("action", "body", "field"),
    [
        ("amend", {**AMEND, "reason": ""}, "/reason"), ("amend", {"changes": AMEND["changes"]}, "/reason"),
        ("amend", {**AMEND, "reason": "x" * 2001}, "/reason"), ("amend", {**AMEND, "reason": "a\x00"}, "/reason"),
        ("amend", {**AMEND, "changes": []}, "/changes"), ("amend", {**AMEND, "changes": AMEND["changes"] * 51}, "/changes"),
        ("amend", {**AMEND, "changes": AMEND["changes"] * 2}, "/changes/1/field"),
        ("amend", {**AMEND, "changes": [{"field": "amuont", "value": "1"}]}, "/changes/0/field"),
        ("amend", {**AMEND, "changes": [{"field": "id", "value": "1"}]}, "/changes/0/field"),
        ("amend", {**AMEND, "changes": [{"field": "amount", "value": "much"}]}, "/changes/0/value"),
        ("amend", {**AMEND, "changes": [{"field": "amount", "value": 1.25}]}, "/changes/0/value"),
        ("amend", {**AMEND, "changes": [{"field": "amount", "value": "1e999999"}]}, "/changes/0/value"),
        ("amend", {**AMEND, "changes": [{"field": "amount", "value": None}]}, "/changes/0/value"),
        ("amend", {**AMEND, "changes": [{"field": "amount", "value": "-1.25"}]}, "/changes/0/value"),
        ("amend", {**AMEND, "changes": [{"field": "booked", "value": "2026-03-03"}]}, "/changes/0/replaces"),
        ("amend", {**AMEND, "changes": [{"field": "amount", "value": "1", "replaces": "7"}]}, "/changes/0/replaces"),
        ("amend", {**AMEND, "more": 1}, "/more"),
        ("waive", {"reason": "x"}, "/expires_on"), ("waive", {**WAIVE, "reason": None}, "/reason"),
        ("waive", {**WAIVE, "expires_on": "2020-01-01"}, "/expires_on"),
        ("waive", {**WAIVE, "expires_on": "yesterday"}, "/expires_on"),
        ("waive", {**WAIVE, "expires_on": "10000-01-01"}, "/expires_on"), ("waive", {**WAIVE, "expires_on": 1}, None),
        ("assign", {}, "/assignee"), ("assign", {"assignee": "me"}, "/assignee"), ("comment", {"text": ""}, "/text"),
        ("resubmit", {"versions": "best"}, "/versions"),
    ],
    ids=lambda value: str(value)[:70],
)  # fmt: skip
async def test_what_does_not_fit_is_named(stage: Stage, action: str, body: dict[str, Any], field: str | None) -> None:
    """One or many: the problem names the field, and the exception is what it was."""
    if body.get("expires_on") == "yesterday":
        body = {**body, "expires_on": str(utc_now().date() - timedelta(days=1))}
    before, row = await states(stage), stage.rows["P001"]
    refused(await ask(stage.api, "POST", f"/v1/exceptions/{row['id']}/{action}", body, If_Match='"1"'), 422, field)
    if action in ("amend", "waive", "resubmit"):
        many = {"filter": {"run_id": stage.run, "key": "P001"}, "expected": 1}
        refused(await ask(stage.api, "POST", f"/v1/exceptions:{action}", {**body, **many}), 422, field)
    assert await states(stage) == before


async def test_a_reason_of_ten_megabytes_is_too_large(stage: Stage) -> None:
    """It is not read to its end."""
    row, body = stage.rows["P001"], json.dumps({**WAIVE, "reason": "x" * 10_000_000}).encode()
    lines = [f"POST /v1/exceptions/{row['id']}/waive HTTP/1.1", "Host: localhost", 'If-Match: "1"']
    lines += [f"{name}: {value}" for name, value in (await stage.api._bearer()).items()]
    lines += ["Content-Type: application/json", f"Content-Length: {len(body)}", "", ""]
    port = stage.api._http.base_url.port or 0
    answer = await asyncio.to_thread(answer_to, port, ["\r\n".join(lines).encode(), body])
    assert answer.startswith(b"HTTP/1.1 413 "), answer
    assert b"application/problem+json" in answer


@pytest.mark.parametrize("action", ["assign", "amend", "waive", "approve", "resubmit"])
async def test_an_action_on_many_hits_what_was_seen(stage: Stage, action: str) -> None:
    """Nothing without a number, nothing with another one, and a filter that means nothing does nothing."""
    before, path = await states(stage), f"/v1/exceptions:{action}"
    more = {"amend": AMEND, "waive": WAIVE}.get(action, {})
    refused(await ask(stage.api, "POST", path, {**more, "filter": {}}), 422, "/expected")
    refused(await ask(stage.api, "POST", path, {**more, "filter": {}, "expected": 1}), 409, kind="other-count")
    refused(await ask(stage.api, "POST", path, {**more, "filter": {}, "expected": -1}), 422, "/expected")
    refused(await ask(stage.api, "POST", path, {**more, "filter": {}, "expected": 20_001}), 422, "/expected")
    refused(await ask(stage.api, "POST", path, {**more, "expected": 3}), 422, "/filter")
    refused(await ask(stage.api, "POST", path, {**more, "filter": {"runid": stage.run}, "expected": 3}), 422)
    answer = await ask(stage.api, "POST", path, {**more, "filter": {"run_id": str(uuid4())}, "expected": 0})
    assert (answer.status_code, answer.json()["changed"]) == (200, 0)
    assert await states(stage) == before


async def test_a_change_needs_what_was_read(stage: Stage) -> None:
    """Without the state that was read, or with an older one, nothing is done."""
    path = f"/v1/exceptions/{stage.rows['P001']['id']}/waive"
    refused(await ask(stage.api, "POST", path, WAIVE), 428)
    refused(await ask(stage.api, "POST", path, WAIVE, If_Match='"7"'), 412)
    for wrong in ("*", '"x"', '"-1"', '"99999999999999999999"'):
        refused(await ask(stage.api, "POST", path, WAIVE, If_Match=wrong), 422, "If-Match")


async def test_an_exceptions_life_under_many_hands(world: World) -> None:
    """Sent twice it is done once, of two people one is first, and what is decided or closed is not decided again."""
    api, run, rows = await _held(await world.tenant("hands"))
    first, second, third = (f"/v1/exceptions/{rows[key]['id']}" for key in ("P001", "P002", "P003"))
    sent = [ask(api, "POST", f"{first}/amend", AMEND, If_Match='"1"', Idempotency_Key="once") for _ in range(3)]
    answers = await asyncio.gather(*sent)
    assert {answer.status_code for answer in answers} == {200}
    assert Counter(answer.headers.get("Idempotency-Replayed") for answer in answers) == {None: 1, "true": 2}
    other = await ask(api, "POST", f"{first}/amend", {**AMEND, "reason": "x"}, If_Match='"1"', Idempotency_Key="once")
    refused(other, 422, "Idempotency-Key")
    assert len((await api.get("/v1/amendments"))["items"]) == 1
    both = await asyncio.gather(
        ask(api, "POST", f"{second}/waive", WAIVE, If_Match='"1"'),
        ask(api, "POST", f"{second}/amend", AMEND, If_Match='"1"'),
    )
    assert sorted(answer.status_code for answer in both) == [200, 412]
    for path, revision in ((first, 2), (second, 2)):
        for action, body in (("waive", WAIVE), ("amend", AMEND)):
            answer = await ask(api, "POST", f"{path}/{action}", body, If_Match=f'"{revision}"')
            refused(answer, 409, kind="wrong-status")
    both = await asyncio.gather(*(ask(api, "POST", f"{third}/resubmit", {}, If_Match='"1"') for _ in range(2)))
    assert sorted(answer.status_code for answer in both) == [202, 412]
    refused(await ask(api, "POST", f"{third}/resubmit", {}, If_Match='"2"'), 409, kind="wrong-status")
    sent = next(answer.json() for answer in both if answer.status_code == 202)
    assert (await corrected(api, sent))["records_held"] == 1
    await until(api, f"/v1/resubmissions/{sent['id']}", "ended")
    answer = await ask(api, "POST", f"{first}/resubmit", {}, If_Match='"2"')
    await corrected(api, answer.json())
    await until(api, f"/v1/resubmissions/{answer.json()['id']}", "ended")
    closed = await api.get(first)
    assert (closed["status"], closed["resolution"]) == ("closed", "reported")
    state = f'"{closed["revision"]}"'
    for action, body in (("amend", AMEND), ("waive", WAIVE), ("resubmit", {}), ("assign", {"assignee": None})):
        refused(await ask(api, "POST", f"{first}/{action}", body, If_Match=state), 409, kind="wrong-status")
    (group,) = (await api.get("/v1/exceptions/groups", run_id=run))["items"]
    assert (group["records"], group["open"], group["closed"]) == (3, 1, 1)
