"""The runner's HTTP door, with its workers and its bus behind it."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from deploy.local.nats import Nats
from libs.common.database.pool import Database
from libs.common.jail import JobServer
from services.runner.api import patience
from services.runner.commands import claims
from services.runner.commands.creation import Order, create_run
from tests.runner.live import Judge, Live, live, world_beside
from tests.runner.world import DAY, World


@pytest.fixture(scope="module")
async def service(
    databases: dict[str, str], nats_server: Nats, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Live]:
    """Yield the service, running."""
    async with live(databases, nats_server, tmp_path_factory.mktemp("runner")) as running:
        yield running


@pytest.fixture
async def here(service: Live, databases: dict[str, str], jobs: JobServer, seed_file: Path) -> AsyncIterator[World]:
    """Yield a new tenant beside the running service."""
    async with Database.open(databases["runner_server"], service="runner", size=4) as database:
        world = world_beside(service, database, databases, jobs, seed_file)
        yield world
        await world.clean()


def order(world: World, **more: object) -> dict[str, object]:
    return {"report_id": str(world.report_id), "business_date": DAY.isoformat(), **more}


async def test_a_run_ends_through_the_bus(service: Live, here: World, nats_server: Nats) -> None:
    """POST, pokes, a verdict by event, the artifact: the whole way through the running service."""
    await here.setup()
    headers = service.headers(here.tenant)
    async with Judge(nats_server, held=(3,)).judging(here):
        answer = await service.client.post("/v1/runs", json=order(here), headers=headers)
        assert answer.status_code == 201, answer.text
        run = await service.ended(answer.json()["id"], headers)
    assert (run["status"], run["records_in"], run["records_out"], run["records_held"]) == ("partial", 3, 2, 1)
    content = await service.client.get(run["artifacts"][0]["content"], headers=headers)
    assert content.text == "id,amount\n1,10\n2,20\n"


async def finished(service: Live, world: World, nats_server: Nats, held: tuple[int, ...] = ()) -> dict[str, Any]:
    """Return a run that ended, as shown."""
    headers = service.headers(world.tenant)
    async with Judge(nats_server, held=held).judging(world):
        answer = await service.client.post("/v1/runs", json=order(world), headers=headers)
        return await service.ended(answer.json()["id"], headers)


async def test_the_same_key_starts_one_run(service: Live, here: World) -> None:
    """An Idempotency-Key replays the answer; another body under it is refused."""
    await here.setup()
    headers = {**service.headers(here.tenant), "Idempotency-Key": "k"}
    first = await service.client.post("/v1/runs", json=order(here), headers=headers)
    # the key belongs to a client: the same subject must ask
    second = await service.client.post("/v1/runs", json=order(here), headers=headers)
    assert (second.json(), second.headers["idempotency-replayed"]) == (first.json(), "true")
    third = await service.client.post("/v1/runs", json=order(here, business_date="2026-03-03"), headers=headers)
    assert (third.status_code, third.json()["type"].rsplit(":", 1)[-1]) == (422, "idempotency-key-reused")
    listed = await service.client.get("/v1/runs", headers=headers)
    assert len(listed.json()["items"]) == 1


async def test_a_report_published_a_moment_later_is_waited_for(
    service: Live, here: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A version that arrives within the time that is waited is used; no connection is held meanwhile."""
    monkeypatch.setattr(patience, "_PATIENCE_SECONDS", 60)  # the machine's, not the version's
    asking = asyncio.create_task(
        service.client.post("/v1/runs", json=order(here), headers=service.headers(here.tenant))
    )
    await asyncio.sleep(0.5)
    await here.setup()
    assert (await asking).status_code == 201


async def test_a_report_that_never_comes_is_a_conflict(service: Live, here: World) -> None:
    """After two seconds: 409 with its own type, Retry-After and the field."""
    answer = await service.client.post("/v1/runs", json=order(here), headers=service.headers(here.tenant))
    assert answer.status_code == 409
    assert answer.headers["retry-after"] == "2"
    body = answer.json()
    assert (body["type"].rsplit(":", 1)[-1], body["errors"][0]["field"]) == (
        "definition-not-yet-visible",
        "/report_id",
    )


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"business_date": "yesterday"}, "/business_date"),
        ({"report_id": 7}, "/report_id"),
        ({"as_of": "2026-03-01T00:00:00"}, "/as_of"),
        ({"as_of": "2999-01-01T00:00:00Z"}, "/as_of"),
        ({"parameters": {"x": 1}}, "/parameters/x"),
        ({"colour": "red"}, "/colour"),
    ],
)
async def test_a_bad_order_names_its_field(service: Live, here: World, change: dict[str, object], field: str) -> None:
    """4xx with the field's path, never a 5xx (S27)."""
    answer = await service.client.post("/v1/runs", json=order(here) | change, headers=service.headers(here.tenant))
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]


@pytest.mark.parametrize(
    ("method", "path", "permission"),
    [
        ("POST", "/v1/runs", "run:read"),
        ("GET", "/v1/runs", "run:start"),
        ("GET", "/v1/runs/{id}", "run:start"),
        ("GET", "/v1/runs/{id}/events", "run:start"),
        ("GET", "/v1/runs/{id}/ledger", "run:start"),
        ("GET", "/v1/runs/{id}/artifacts", "run:start"),
        ("POST", "/v1/runs/{id}/cancel", "run:read"),
        ("POST", "/v1/runs/{id}/rerun", "run:read"),
        ("GET", "/v1/artifacts/{id}/content", "run:read"),
        ("GET", "/v1/reports/{id}/records/1?business_date=2026-03-02", "artifact:read"),
    ],
)
async def test_every_route_asks_for_its_permission(
    service: Live, here: World, method: str, path: str, permission: str
) -> None:
    """Without a token 401, with another permission 403 (S27)."""
    url = path.format(id=uuid4())
    body = order(here) if method == "POST" and path == "/v1/runs" else {}
    sent = {"json": body} if method == "POST" else {}
    assert (await service.client.request(method, url, **sent)).status_code == 401
    headers = service.headers(here.tenant, [permission])
    assert (await service.client.request(method, url, **sent, headers=headers)).status_code == 403


async def test_another_tenants_ids_are_unknown(service: Live, here: World, nats_server: Nats) -> None:
    """Every route answers 404 to another tenant's ids (S37)."""
    await here.setup()
    run = await finished(service, here, nats_server)
    stranger = service.headers(uuid4())
    artifact = run["artifacts"][0]["id"]
    paths = [f"/v1/runs/{run['id']}{part}" for part in ("", "/events", "/ledger", "/artifacts")]
    paths += [f"/v1/artifacts/{artifact}/content", f"/v1/reports/{here.report_id}/records/1?business_date={DAY}"]
    for path in paths:
        assert (await service.client.get(path, headers=stranger)).status_code == 404, path
    for verb in ("cancel", "rerun"):
        answer = await service.client.post(f"/v1/runs/{run['id']}/{verb}", json={}, headers=stranger)
        assert answer.status_code == 404
    assert (await service.client.get("/v1/runs", headers=stranger)).json()["items"] == []


async def test_pages_are_stable_while_runs_are_added(service: Live, here: World) -> None:
    """Following `next` shows each run once, however many come in between (S16)."""
    await here.setup()
    headers = service.headers(here.tenant)
    made = [str(await here.start()) for _ in range(5)]
    seen: list[str] = []
    url = "/v1/runs?limit=2"
    while url:
        page = (await service.client.get(url, headers=headers)).json()
        seen += [item["id"] for item in page["items"]]
        await here.start()
        url = f"/v1/runs?limit=2&cursor={page['next']}" if page["next"] else ""
    assert seen == made[::-1]


@pytest.mark.parametrize("query", ["limit=501", "limit=0", "cursor=x", "offset=1001", "status=done", "report_id=1"])
async def test_a_bad_page_is_refused(service: Live, here: World, query: str) -> None:
    """Limits, cursors and filters outside of the contract are 422 (S16)."""
    answer = await service.client.get(f"/v1/runs?{query}", headers=service.headers(here.tenant))
    assert answer.status_code == 422


async def test_runs_are_filtered(service: Live, here: World) -> None:
    """By status, report and business date (S16)."""
    await here.setup()
    headers = service.headers(here.tenant)
    run_id = str(await here.start())
    other = str(await here.start(business_date=date(2026, 3, 3)))
    await service.client.post(f"/v1/runs/{other}/cancel", headers=headers)
    queries = {f"business_date={DAY}": [run_id], f"report_id={uuid4()}": [], f"report_id={here.report_id}": 2}
    for query, expected in queries.items():
        items = (await service.client.get(f"/v1/runs?{query}", headers=headers)).json()["items"]
        found = [item["id"] for item in items]
        assert found == expected or len(found) == expected


async def test_progress_is_followed_and_resumed(service: Live, here: World, nats_server: Nats) -> None:
    """The stream ends with the run; with Last-Event-ID it goes on behind that event."""
    await here.setup()
    run = await finished(service, here, nats_server)
    headers = service.headers(here.tenant)
    whole = parse_stream((await service.client.get(f"/v1/runs/{run['id']}/events", headers=headers)).text)
    assert [event["id"] for event in whole] == [str(number) for number in range(1, len(whole) + 1)]
    assert (whole[0]["event"], whole[-1]["event"]) == ("run.created", "run.succeeded")
    resumed = await service.client.get(f"/v1/runs/{run['id']}/events", headers={**headers, "Last-Event-ID": "3"})
    assert parse_stream(resumed.text) == whole[3:]
    bad = await service.client.get(f"/v1/runs/{run['id']}/events", headers={**headers, "Last-Event-ID": "x"})
    assert bad.status_code == 422


def parse_stream(text: str) -> list[dict[str, str]]:
    blocks = [block for block in text.split("\n\n") if block.startswith("id:")]
    return [dict(line.split(": ", 1) for line in block.split("\n")) for block in blocks]


async def test_a_record_is_found_by_its_key(service: Live, here: World, nats_server: Nats) -> None:
    """Sent, held with rule, message and link, or never extracted."""
    await here.setup()
    await finished(service, here, nats_server, held=(3,))
    headers = service.headers(here.tenant)

    async def ask(key: str) -> dict[str, Any]:
        url = f"/v1/reports/{here.report_id}/records/{key}?business_date={DAY}"
        shown: dict[str, Any] = (await service.client.get(url, headers=headers)).json()
        return shown

    held = await ask("3")
    (reason,) = held["records"][0]["reasons"]
    assert (held["disposition"], reason["rule_id"], reason["message"]) == ("held", "r1", "amount -5 is not positive")
    assert reason["exceptions"].startswith("/v1/exceptions?run_id=")
    assert [(await ask(key))["disposition"] for key in ("1", "9")] == ["sent", "never extracted"]


async def test_a_download_is_an_event_and_its_bytes_are_checked(service: Live, here: World, nats_server: Nats) -> None:
    """An altered artifact is not served (S28)."""
    await here.setup()
    run = await finished(service, here, nats_server)
    headers = service.headers(here.tenant)
    artifact = run["artifacts"][0]
    answer = await service.client.get(artifact["content"], headers=headers)
    assert hashlib.sha256(answer.content).hexdigest() == artifact["sha256"]
    names = [event["type"] for event in await here.events()]
    assert names.count("runner.artifact.downloaded.v1") == 1
    key = f"{here.tenant}/runs/{run['id']}/render"
    (file,) = (service.home / "objects" / key).rglob("*.csv")
    file.write_text("id,amount\n1,1000000\n")
    altered = await service.client.get(artifact["content"], headers=headers)
    assert (altered.status_code, altered.json()["type"].rsplit(":", 1)[-1]) == (409, "artifact-altered")


async def test_lost_workers_are_found_by_the_sweeper(
    databases: dict[str, str], nats_server: Nats, service: Live, here: World
) -> None:
    """A run whose worker is gone comes to its end without anybody's help (S20, S38)."""
    await here.setup()
    headers = service.headers(here.tenant)
    async with here.database.transaction(here.context()) as tx:
        run = await create_run(tx, here.library, Order(here.report_id, DAY))
        # taken in the same transaction, by a worker that will never be heard of again
        await claims.claim(tx, run, "gone", timedelta(seconds=0.5))
    async with Judge(nats_server).judging(here):
        shown = await service.ended(str(run["id"]), headers)
    assert shown["status"] == "succeeded"


async def test_samples_are_listed_only_where_they_are_asked_for(service: Live, here: World) -> None:
    """The list is of reports as before; `kind` finds the others, and a limit belongs to samples."""
    await here.setup()
    headers = service.headers(here.tenant)
    refused = await service.client.post("/v1/runs", json=order(here, limit=5), headers=headers)
    assert [error["field"] for error in refused.json()["errors"]] == ["/limit"]
    made = await service.client.post("/v1/runs", json=order(here, kind="sample", limit=2), headers=headers)
    run = await service.ended(made.json()["id"], headers)
    assert (run["status"], run["kind"], run["row_limit"], run["records_out"]) == ("succeeded", "sample", 2, 2)
    report = (await service.client.post("/v1/runs", json=order(here), headers=headers)).json()["id"]

    async def listed(query: str) -> list[str]:
        items = (await service.client.get(f"/v1/runs{query}", headers=headers)).json()["items"]
        return [item["id"] for item in items]

    assert await listed("") == [report]
    assert await listed("?kind=sample") == [run["id"]]
    assert await listed("?kind=all") == [report, run["id"]]
