"""The gateway sends each path to its owner, takes no lies about the caller, and bridges a replica's death."""

import asyncio
import importlib
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
import pytest

from deploy.local import caddy
from deploy.local.configuration import SERVICES
from deploy.local.processes import Program, free_port, listens
from deploy.local.routes import ROUTES, owner
from deploy.local.services import ROOT
from deploy.local.supervisor import Supervisor
from libs.common.app import describe_app
from tests.sockets import answer_to

UPSTREAM = Path(__file__).with_name("upstream.py")


@dataclass(frozen=True)
class Gateway:
    client: httpx.AsyncClient
    supervisor: Supervisor
    runners: tuple[int, int]


@pytest.fixture(scope="module")
async def gateway(supervisor: Supervisor, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    """Yield a gateway before two runners and one catalog."""
    home, documents = tmp_path_factory.mktemp("gateway"), tmp_path_factory.mktemp("documents")
    (documents / "openapi.json").write_text('{"openapi": "3.1.0"}')
    (documents / "index.html").write_text("<title>Regent</title>")
    first, second, catalog, port = (free_port() for _ in range(4))
    await supervisor.start(*(_upstream(number) for number in (first, second, catalog)))
    ports = {"runner": [first, second], "catalog": [catalog]}
    await supervisor.start(caddy.program(home, host="127.0.0.1", port=port, upstreams=ports, documents=documents))
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30) as client:
        yield Gateway(client, supervisor, (first, second))


def _upstream(port: int) -> Program:
    command = (sys.executable, str(UPSTREAM), str(port))
    return Program(name=f"upstream-{port}", command=command, ready=partial(listens, port))


@pytest.mark.parametrize(
    ("path", "service"),
    [
        ("/v1/reports", "catalog"),
        ("/v1/reports/7/versions", "catalog"),
        ("/v1/reports/7/records/T-1", "runner"),
        ("/v1/runs/7", "runner"),
        ("/oauth2/token", "auth"),
        ("/.well-known/jwks.json", "auth"),
        ("/v1/schedules/7/preview", "scheduler"),
        ("/v1/rules", "validator"),
        ("/v1/audit/entries", "audit"),
        ("/v1/runsaway", None),
        ("/metrics", None),
        ("/readyz", None),
    ],
)
def test_each_path_has_its_owner(path: str, service: str | None) -> None:
    """A path belongs to one service, by whole segments; what is nobody's, operations among them, is not served."""
    assert owner(path) == service


@pytest.mark.parametrize(
    "service", [service for service in SERVICES if (ROOT / "services" / service / "main.py").exists()]
)
def test_every_operation_is_routed_to_its_service(service: str) -> None:
    """What a service declares in its API is what the gateway sends to it."""
    routers = importlib.import_module(f"services.{service}.api").ROUTERS
    paths = describe_app(service, routers).openapi()["paths"]
    assert {path: owner(path) for path in paths} == dict.fromkeys(paths, service)


def test_every_service_is_routed() -> None:
    """No service is forgotten at the gateway."""
    assert {route.service for route in ROUTES} == {"auth", "catalog", "scheduler", "runner", "validator", "audit"}


async def test_a_record_question_goes_to_the_runner(gateway: Gateway) -> None:
    """The gateway follows the same table: a report's records are answered by a runner, also with a slash in the key."""
    answer = (await gateway.client.get("/v1/reports/7/records/a%2Fb")).json()
    assert int(answer["replica"]) in gateway.runners
    assert int((await gateway.client.get("/v1/reports/7")).json()["replica"]) not in gateway.runners


async def test_a_caller_cannot_say_who_it_is(gateway: Gateway) -> None:
    """Headers that only we may set do not reach a service, and the address is the connection's."""
    lies = {
        "X-Tenant-Id": "other",
        "X-User-Id": "root",
        "X-Actor": "root",
        "X-Forwarded-For": "1.2.3.4",
        "X-Real-IP": "1",
    }
    seen = (await gateway.client.get("/v1/runs", headers=lies)).json()["headers"]
    assert {"x-tenant-id", "x-user-id", "x-actor", "x-real-ip"} & set(seen) == set()
    assert seen["x-forwarded-for"] == "127.0.0.1"


async def test_identity_and_preconditions_pass(gateway: Gateway) -> None:
    """What the contract needs reaches the service unchanged, and an ETag comes back unchanged."""
    headers = {"Authorization": "Bearer t", "If-Match": '"v1"', "Idempotency-Key": "k", "traceparent": "00-a-b-01"}
    answer = await gateway.client.get("/v1/runs", headers=headers)
    assert answer.headers["etag"] == '"v1"'
    assert {name: answer.json()["headers"][name.lower()] for name in headers} == headers


async def test_answers_carry_security_headers(gateway: Gateway) -> None:
    """Every answer forbids sniffing and framing, and does not say what runs here."""
    headers = (await gateway.client.get("/v1/runs")).headers
    assert (headers["x-content-type-options"], headers["x-frame-options"]) == ("nosniff", "DENY")
    assert {"server", "via"} & set(headers) == set()


async def test_an_unknown_path_is_a_problem_document(gateway: Gateway) -> None:
    """Nobody's path is 404 in the API's own error format."""
    answer = await gateway.client.get("/v2/nothing")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert answer.json()["status"] == 404
    assert len(answer.json()["request_id"]) == 36


async def test_an_oversized_body_is_refused(gateway: Gateway) -> None:
    """More than 64 MiB is 413, also when the length is not announced."""
    head = b"POST /v1/connectors HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"100000\r\n" + bytes(1024 * 1024) + b"\r\n"
    answer = await asyncio.to_thread(answer_to, gateway.client.base_url.port or 0, [head, *[chunk] * 65])
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"application/problem+json" in answer


async def test_events_flow(gateway: Gateway) -> None:
    """A server-sent event arrives when it is sent, not when the stream ends."""
    began = time.monotonic()
    async with gateway.client.stream("GET", "/v1/runs/events", headers={"Accept": "text/event-stream"}) as answer:
        first = await anext(answer.aiter_text())
    assert first == "data: first\n\n"
    assert time.monotonic() - began < 15


async def test_documents_are_served(gateway: Gateway) -> None:
    """The merged API description and its page come from files."""
    assert (await gateway.client.get("/openapi.json")).json() == {"openapi": "3.1.0"}
    assert "Regent" in (await gateway.client.get("/docs")).text


async def test_replicas_share_the_load_and_bridge_a_death(gateway: Gateway) -> None:
    """Both replicas are used; with one of them killed and restarting, no request of 40 fails."""
    used = await asyncio.gather(*(gateway.client.get("/v1/runs") for _ in range(40)))
    assert {int(answer.json()["replica"]) for answer in used} == set(gateway.runners)
    os.kill(gateway.supervisor.child(f"upstream-{gateway.runners[0]}").pid or 0, signal.SIGKILL)
    answers = await asyncio.gather(*(gateway.client.get("/v1/runs") for _ in range(40)))
    assert {answer.status_code for answer in answers} == {200}


async def test_a_restarting_service_is_waited_for(gateway: Gateway) -> None:
    """A request to a service whose only process is being restarted is answered late, not refused, POST included."""
    catalog = next(name for name in gateway.supervisor.children if _is_catalog(name, gateway))
    os.kill(gateway.supervisor.child(catalog).pid or 0, signal.SIGKILL)
    await asyncio.sleep(0.1)
    assert (await gateway.client.post("/v1/connectors", json={})).status_code == 200


def _is_catalog(name: str, gateway: Gateway) -> bool:
    return name.startswith("upstream-") and int(name.removeprefix("upstream-")) not in gateway.runners
