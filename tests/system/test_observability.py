"""What operators see: metrics of every service, one trace from the gateway to the trail, log lines that tie together."""

import asyncio
import json
import secrets

import httpx
import orjson
import pytest

from deploy.local.configuration import SERVICES
from tests.system.payments import SCHEMA, Filing, filed
from tests.system.proof import exported_bodies, trail_after, verified_offline
from tests.system.world import Tenant, World

EVERYWHERE = (
    *("regent_http_requests_total", "regent_http_request_seconds_bucket", "regent_database_pool_size"),
    *("regent_database_pool_in_use", "regent_database_pool_acquire_seconds_bucket", "regent_outbox_rows"),
    "regent_outbox_oldest_seconds",
)
ASKED = {
    "auth": "/v1/me",
    "catalog": "/v1/reports",
    "scheduler": "/v1/schedules",
    "runner": "/v1/runs",
    "validator": "/v1/rules",
    "audit": "/v1/audit/entries",
}
"""What is asked of each service first: one that has just started has no figures of requests."""
READERS = ("regent_reader_position", "regent_reader_lag", "regent_reader_events_total")


@pytest.fixture(scope="module")
async def filing(world: World) -> Filing:
    made = await filed(await world.tenant("observed"))
    await made.run()
    return made


async def _metrics(world: World, service: str) -> str:
    port = json.loads((world.stack.configuration.data / "ports.json").read_text(encoding="utf-8"))[service]
    async with httpx.AsyncClient(trust_env=False) as client:
        return (await client.get(f"http://127.0.0.1:{port}/metrics")).raise_for_status().text


@pytest.mark.parametrize("service", SERVICES)
async def test_every_service_exposes_its_metrics(world: World, filing: Filing, service: str) -> None:
    """HTTP, pool, outbox and reader figures of each service, labelled with its name (S61)."""
    await filing.tenant.api.get(ASKED[service])
    text = await _metrics(world, service)
    wanted = EVERYWHERE if service in ("auth", "audit") else (*EVERYWHERE, *READERS)
    assert [name for name in wanted if f"{name}{{" not in text] == []
    assert f'service="{service}"' in text
    assert str(filing.tenant.id) not in text


async def test_runs_and_rules_are_timed(world: World, filing: Filing) -> None:
    """The runner times runs and steps, the validator what judging took (S61)."""
    runner, validator = await _metrics(world, "runner"), await _metrics(world, "validator")
    assert "regent_run_seconds_bucket{" in runner
    assert "regent_run_step_seconds_bucket{" in runner
    assert "regent_validation_seconds_bucket{" in validator


async def test_trace_of_the_caller_reaches_the_trail(
    world: World, filing: Filing, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """All events of a run carry the trace that its starter named, in the audit entries too (S62)."""
    api, trace = filing.tenant.api, secrets.token_hex(16)
    body = {"report_id": str(filing.report), "business_date": "2026-03-06"}
    headers = {
        **await api._bearer(),
        "traceparent": f"00-{trace}-{secrets.token_hex(8)}-01",
        "X-Request-Id": f"r-{trace}",
    }
    async with httpx.AsyncClient(base_url=world.url, trust_env=False) as client:
        answer = await client.post("/v1/runs", json=body, headers=headers)
    assert answer.headers["x-request-id"] == f"r-{trace}"
    run_id = answer.raise_for_status().json()["id"]
    note, _ = await trail_after(filing.tenant, run_id)
    found = await api.pages("/v1/audit/entries", trace_id=trace)
    types = {entry["type"] for entry in found}
    assert types >= {"runner.run.created.v1", "validator.validation.completed.v1", "runner.run.partial.v1"}, types
    said = [json.loads(line) for line in world.log_lines("runner") if f'"run_id":"{run_id}"' in line]
    assert {(line["request_id"], line["trace_id"]) for line in said} == {(f"r-{trace}", trace)}
    assert {line["event"] for line in said} >= {"step.done", "run.ended"}
    created = next(entry for entry in found if entry["type"] == "runner.run.created.v1")
    judged = [entry for entry in found if entry["type"].startswith("validator.")]
    assert {entry["correlation_id"] for entry in (created, *judged)} == {f"r-{trace}"}
    folder = tmp_path_factory.mktemp("trace")
    await verified_offline(filing.tenant, note, folder)
    events = [orjson.loads(line) for line in exported_bodies(folder)]
    assert {event["type"] for event in events if trace in (event.get("traceparent") or "")} == types


@pytest.mark.parametrize("service", SERVICES)
async def test_log_lines_are_json(world: World, filing: Filing, service: str) -> None:
    """Each line is an object with time, level, service and event (S61)."""
    lines = [line for line in world.log_lines(service) if not line.startswith("ended with ")]
    assert lines
    for line in lines:
        said = json.loads(line)
        assert said["service"] == service
        assert {"event", "level", "timestamp"} <= set(said), line


async def test_log_lines_tie_together(world: World, filing: Filing) -> None:
    """A change is found in the logs by its request's id, with its trace (S62)."""
    trace, wanted = secrets.token_hex(16), f"find-{secrets.token_hex(8)}"
    headers = {**await filing.tenant.api._bearer(), "traceparent": f"00-{trace}-{secrets.token_hex(8)}-01"}
    body = {"name": wanted, "spec": SCHEMA.model_dump(mode="json")}
    async with httpx.AsyncClient(base_url=world.url, trust_env=False) as client:
        await client.post("/v1/schemas", json=body, headers={**headers, "X-Request-Id": wanted})
    async with asyncio.timeout(60):
        while not (said := [line for line in world.log_lines("catalog") if wanted in line]):  # noqa: ASYNC110 - it happens elsewhere
            await asyncio.sleep(0.05)
    lines = [json.loads(line) for line in said]
    assert [(line["request_id"], line["trace_id"], line["status"]) for line in lines] == [(wanted, trace, 201)]


async def test_secrets_are_in_no_log(world: World, tenant: Tenant) -> None:
    """Passwords, client secrets and tokens appear in no line of any process (S31)."""
    token = (await tenant.api._bearer())["Authorization"].removeprefix("Bearer ")
    for name in (*SERVICES, "gateway", "postgres", "nats"):
        text = (
            "\n".join(world.log_lines(name))
            if (world.stack.configuration.data / "logs" / f"{name}.log").exists()
            else ""
        )
        for secret in (token, tenant.owner[1], tenant.credentials.client_secret):
            assert secret not in text, name
