"""What must hold of every run and every trail, checked from outside."""

import asyncio
import base64
import hashlib
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deploy.local.services import ROOT
from examples.broker_week.job import ENDED
from tests.system.world import Tenant

_VERIFIER = ROOT / "deploy" / "verify" / "regent_verify.py"
_GONE = ("records_out", "held", "rejected", "filtered", "duplicate", "merged")


def assert_balanced(run: Mapping[str, Any]) -> None:
    """Check that every step's ledger adds up and hands over what the step before put out."""
    assert run["ledger"], "a run without a ledger"
    for row in run["ledger"]:
        assert row["records_in"] + row["created"] == sum(row[name] for name in _GONE), row
    for before, after in zip(run["ledger"], run["ledger"][1:], strict=False):
        assert after["records_in"] == before["records_out"], (before, after)


def assert_delivered_as_promised(run: Mapping[str, Any], tenant: Tenant) -> None:
    """Check that each artifact was delivered once, byte for byte, and nothing else lies there."""
    promised = {artifact["name"]: artifact["sha256"] for artifact in run["artifacts"]}
    assert {path.name: sha256(path) for path in tenant.outbox.iterdir()} == promised
    assert sorted(d["artifact_id"] for d in run["deliveries"]) == sorted(a["id"] for a in run["artifacts"])
    assert {delivery["status"] for delivery in run["deliveries"]} == {"succeeded"}


def sha256(path: Path) -> str:
    """Return a file's hash as hex digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


async def trail_after(tenant: Tenant, run_id: str, seconds: float = 60) -> tuple[str, list[dict[str, Any]]]:
    """Wait until a signed checkpoint covers the run's end; return its note and the entries so far."""
    async with asyncio.timeout(seconds):
        while (note := await _covering(tenant, run_id)) is None:  # noqa: ASYNC110 - it happens elsewhere
            await asyncio.sleep(0.2)
    return note, await tenant.api.pages("/v1/audit/entries")


async def _covering(tenant: Tenant, run_id: str) -> str | None:
    ends = await tenant.api.get("/v1/audit/entries", type="runner.run.", subject=run_id, limit=1)
    if not ends["items"] or ends["items"][0]["type"].split(".")[2] not in ENDED:
        return None
    latest = await tenant.api.get("/v1/audit/checkpoints/latest")
    return str(latest["note"]) if latest["size"] > ends["items"][0]["seq"] else None


async def verified_offline(tenant: Tenant, note: str, folder: Path) -> str:
    """Export the whole trail and check it with the stand-alone verifier; returns what it said."""
    export, kept = folder / "trail.ndjson", folder / "kept.note"
    export.write_bytes(await tenant.api.content("/v1/audit/export"))
    kept.write_text(note, encoding="utf-8")
    key = (await tenant.api.get("/v1/audit/key"))["keys"][0]["key"]
    return await asyncio.to_thread(_verify, export, kept, key)


def _verify(export: Path, kept: Path, key: str) -> str:
    command = [sys.executable, "-I", str(_VERIFIER), str(export), "--checkpoint", str(kept), "--key", key]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own script
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def exported_bodies(folder: Path) -> list[bytes]:
    """Return the exact bytes of each entry of the export that `verified_offline` left in `folder`."""
    lines = map(json.loads, (folder / "trail.ndjson").read_bytes().splitlines())
    return [base64.b64decode(line["body"]) for line in lines if "body" in line]
