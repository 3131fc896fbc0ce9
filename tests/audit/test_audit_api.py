"""The whole service, on real servers: from an event on the bus to a proof in somebody's hands."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import orjson
import pytest
from joserfc import jws
from joserfc.jwk import ECKey
from pydantic import SecretStr

from deploy.local.nats import Nats
from deploy.verify import regent_verify as offline
from libs.common.app import build_app, running
from services.audit import checkpoint
from services.audit.main import declare
from services.audit.settings import AuditSettings
from services.audit.tree import leaf_hash, verify_consistency, verify_inclusion
from tests.audit.world import OTHER, RING_TEXT, TENANT, Store, event_body

ISSUER = "http://localhost:8080"
ALL = "audit:read audit:export audit:verify"
KEY = ECKey.generate_key("P-256")


def token(tenant: UUID = TENANT, scope: str = ALL) -> str:
    now = int(time.time())
    header = {"alg": "ES256", "kid": "k1", "typ": "at+jwt"}
    claims = {
        "iss": ISSUER,
        "aud": "regent",
        "sub": "user:1",
        "jti": str(uuid4()),
        "gid": str(uuid4()),
        "tenant_id": str(tenant),
        "scope": scope,
        "iat": now,
        "nbf": now,
        "exp": now + 200,
    }
    return jws.serialize_compact(header, orjson.dumps(claims), KEY)


@dataclass(frozen=True)
class Live:
    """The running service."""

    client: httpx.AsyncClient
    audit: Store
    bus: Nats

    async def get(self, path: str, *, tenant: UUID = TENANT, scope: str = ALL, **query: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token(tenant, scope)}"}
        return await self.client.get(f"/v1/audit{path}", params=query, headers=headers)

    async def verify(self, body: Any = None, *, scope: str = ALL) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token(scope=scope)}"}
        return await self.client.post("/v1/audit/verify", json=body, headers=headers)

    async def publish(self, count: int, tenant: UUID = TENANT, **changes: Any) -> None:
        async with self.bus.connect("catalog") as client:
            for _ in range(count):
                subject, body = f"evt.{tenant}.catalog.report.published", event_body(tenant, **changes)
                await client.jetstream(prefix="BUS").publish(subject, body)

    async def checkpoint(self, at_least: int) -> dict[str, Any]:
        """Wait for a checkpoint over so many entries."""
        async with asyncio.timeout(30):
            while True:
                answer = await self.get("/checkpoints/latest")
                if answer.status_code == 200 and answer.json()["size"] >= at_least:
                    found: dict[str, Any] = answer.json()
                    return found
                await asyncio.sleep(0.1)


@pytest.fixture
async def live(audit: Store, bus: Nats) -> AsyncIterator[Live]:
    settings = AuditSettings(
        database_url=SecretStr(audit.urls["audit_server"]),
        relay_database_url=SecretStr(audit.urls["audit_relay"]),
        writer_database_url=SecretStr(audit.urls["audit_writer"]),
        signer_database_url=SecretStr(audit.urls["audit_signer"]),
        nats_url=bus.url,
        nkey_seed_file=bus.seeds["audit"],
        objects=audit.objects_url,
        listen_port=1,
        public_url=ISSUER,
        keyring=SecretStr(RING_TEXT),
        checkpoint_seconds=0.2,
    )
    async with bus.connect("auth") as client:
        jwk = KEY.as_dict(private=False)
        await client.jetstream(prefix="BUS").publish("$KV.identity.key.k1", orjson.dumps({"jwk": jwk}))
    service = declare(settings)
    async with running(service) as runtime:
        transport = httpx.ASGITransport(build_app(service, runtime))
        async with httpx.AsyncClient(transport=transport, base_url="http://audit") as client:
            async with asyncio.timeout(20):
                while (await client.get("/readyz")).status_code != 200:  # noqa: ASYNC110 - other processes
                    await asyncio.sleep(0.05)
            yield Live(client, audit, bus)


async def test_from_the_bus_to_a_proof(live: Live) -> None:
    """An event becomes an entry whose proof leads to a checkpoint that the published key signed (S39)."""
    await live.publish(5)
    kept = await live.checkpoint(5)
    entry = (await live.get("/entries/2")).json()
    assert entry["event"]["type"] == entry["type"] == "catalog.report.published.v1"
    (key,) = (await live.get("/key")).json()["keys"]
    found = checkpoint.verify(entry["proof"]["checkpoint"], checkpoint.parse_key(key["key"]))
    assert found.size == entry["proof"]["size"] == kept["size"]
    path = [bytes.fromhex(node) for node in entry["proof"]["path"]]
    leaf = bytes.fromhex(entry["leaf_hash"])
    assert leaf == leaf_hash(offline.unbase64(entry["body"]))
    assert verify_inclusion(leaf, 2, found.size, path, found.root)


async def test_consistency(live: Live) -> None:
    """Two checkpoints are shown to be one history."""
    await live.publish(3)
    first = checkpoint.parse((await live.checkpoint(3))["note"])
    await live.publish(4)
    second = checkpoint.parse((await live.checkpoint(first.size + 4))["note"])
    proof = (await live.get("/consistency", first=first.size, second=second.size)).json()
    path = [bytes.fromhex(node) for node in proof["path"]]
    assert verify_consistency(first.size, second.size, first.root, second.root, path)
    assert proof["second_root"] == second.root.hex()


async def test_lists(live: Live) -> None:
    """The list is newest first, in pages, and narrowed by every filter."""
    await live.publish(3, actor="user:7", correlationid="request-1")
    await live.publish(4, subject="thing")
    await live.checkpoint(7)
    page = (await live.get("/entries", limit=2, type="catalog.")).json()
    assert [item["seq"] for item in page["items"]] == [6, 5]
    page = (await live.get("/entries", limit=2, type="catalog.", cursor=page["next"])).json()
    assert [item["seq"] for item in page["items"]] == [4, 3]

    async def count(**query: Any) -> int:
        return len((await live.get("/entries", **query)).json()["items"])

    assert await count(actor="user:7") == 3
    assert await count(correlation_id="request-1") == 3
    assert await count(subject="thing") == 4
    assert await count(type="catalog.report.published") == 7
    assert await count(type="scheduler.") == 0
    assert await count(type="catalog.", **{"from": "2000-01-01T00:00:00Z", "to": "2001-01-01T00:00:00Z"}) == 0
    assert await count(type="catalog.", **{"from": "2000-01-01T00:00:00Z"}) == 7
    assert await count(faulty=True) == 0


async def test_other_tenants(live: Live) -> None:
    """A tenant finds nothing of another's trail, under any route."""
    await live.publish(3)
    await live.checkpoint(3)
    assert (await live.get("/entries", tenant=OTHER)).json()["items"] == []
    assert (await live.get("/entries/0", tenant=OTHER)).status_code == 404
    assert (await live.get("/checkpoints/latest", tenant=OTHER)).status_code == 404
    assert (await live.get("/consistency", tenant=OTHER, first=1, second=2)).status_code == 422
    assert (await live.get("/export", tenant=OTHER)).text.count("\n") == 2


async def test_exports_are_proven_offline(live: Live, tmp_path: Path) -> None:
    """A full and a filtered export are both proven by the stand-alone verifier against a kept checkpoint (S39)."""
    await live.publish(600)
    kept = await live.checkpoint(600)
    (tmp_path / "kept.note").write_text(kept["note"])
    key = (await live.get("/key")).json()["keys"][0]["key"]
    full = await live.get("/export")
    assert full.headers["content-type"] == "application/x-ndjson"
    filtered = await live.get("/export", type="catalog.")
    for number, answer in enumerate((full, filtered)):
        path = tmp_path / f"{number}.ndjson"
        path.write_bytes(answer.content)
        said: list[str] = []
        plain = [str(path), "--key", key]
        assert offline.main(plain, said.append) == 3, said
        size = orjson.loads(answer.content.split(b"\n", 1)[0])["size"]
        note = (await live.get("/checkpoints", limit=500)).json()["items"]
        (tmp_path / "kept.note").write_text(next(each["note"] for each in note if each["size"] <= size))
        assert offline.main([*plain, "--checkpoint", str(tmp_path / "kept.note")], said.append) == 0, said


async def test_exports_and_verifications_are_events(live: Live) -> None:
    """Taking the trail away, and checking it, are entries themselves, with who and what (S28, S39)."""
    await live.publish(2)
    await live.checkpoint(2)
    assert (await live.get("/export", type="catalog.")).status_code == 200
    assert (await live.verify()).status_code == 200
    async with asyncio.timeout(20):
        while True:
            items = (await live.get("/entries", type="audit.")).json()["items"]
            told = {item["type"]: item for item in items}
            if {"audit.entry.exported.v1", "audit.tree.verified.v1"} <= told.keys():
                break
            await asyncio.sleep(0.1)
    exported = (await live.get(f"/entries/{told['audit.entry.exported.v1']['seq']}")).json()["event"]
    assert exported["actor"] == "user:1"
    assert exported["data"] == {"first": 0, "count": 2, "purpose": "type=catalog."}


async def test_verification(live: Live) -> None:
    """The trail is proven against a kept checkpoint, and a tampered one is named (S39)."""
    await live.publish(5)
    kept = (await live.checkpoint(5))["note"]
    verdict = (await live.verify({"checkpoint": kept})).json()
    assert (verdict["finding"], verdict["good"]) == ("proven", True)
    assert (await live.verify()).json()["finding"] == "consistent"
    await live.audit.as_superuser("UPDATE entry SET body = 'edited' WHERE seq = 3 AND type LIKE 'catalog%'")
    verdict = (await live.verify({"checkpoint": kept})).json()
    assert (verdict["finding"], verdict["good"], verdict["first_bad"]) == ("edited", False, 3)


BAD_REQUESTS = [
    ("/entries", {"limit": 0}, 422),
    ("/entries", {"limit": "x"}, 422),
    ("/entries", {"cursor": "x"}, 422),
    ("/entries", {"from": "2026-01-01T00:00:00"}, 422),
    ("/entries", {"from": "0001-01-01T00:00:00+14:00"}, 422),
    ("/entries", {"subject": "a\x00"}, 422),
    ("/entries", {"type": "x" * 401}, 422),
    ("/entries/x", {}, 422),
    ("/entries/-1", {}, 404),
    ("/entries/99999999999999999999999", {}, 404),
    ("/entries/0", {"size": 10**17}, 422),
    ("/entries/0", {"size": 0}, 422),
    ("/consistency", {"first": 2, "second": 1}, 422),
    ("/consistency", {"first": 1}, 422),
    ("/consistency", {"first": 1, "second": 10**18}, 422),
    ("/export", {"from": "tomorrow"}, 422),
]


async def test_bad_requests(live: Live) -> None:
    """Whatever is wrong with a request is refused with a problem document, never with a failure."""
    await live.publish(2)
    await live.checkpoint(2)
    for path, query, status in BAD_REQUESTS:
        answer = await live.get(path, **query)
        assert answer.status_code == status, (path, query, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
    for body in ({"checkpoint": "nonsense"}, {"checkpoint": "x" * 20_000}, {"checkpoint": 1}, {"other": 1}, [], "x"):
        answer = await live.verify(body)
        assert answer.status_code == 422, (body, answer.text)
        assert answer.json()["errors"]


async def test_permissions(live: Live) -> None:
    """Each route asks for its permission, and for a token."""
    for path in ("/entries", "/entries/0", "/checkpoints", "/checkpoints/latest", "/key", "/export"):
        assert (await live.get(path, scope="run:read")).status_code == 403
        assert (await live.client.get(f"/v1/audit{path}")).status_code == 401
    assert (await live.get("/export", scope="audit:read")).status_code == 403
    assert (await live.verify(scope="audit:read audit:export")).status_code == 403
