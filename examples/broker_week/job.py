"""The main job through the public API: describe the report, publish it, run it."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from examples.broker_week.definitions import Definitions, Ids
from examples.client import Api
from libs.common.vocabulary.connections import DirectoryDestination
from libs.common.vocabulary.reports import Source
from libs.common.vocabulary.xsd import XsdFile, XsdSetSpec

ENDED = ("succeeded", "partial", "failed", "cancelled")


async def publish(api: Api, path: str, name: str, spec: BaseModel) -> UUID:
    """Create a definition and publish its first version; returns its id."""
    made = await api.post(path, {"name": name, "spec": spec.model_dump(mode="json")})
    await api.post(f"{path}/{made['id']}/publish", {})
    return UUID(made["id"])


async def connector(api: Api, name: str, spec: BaseModel, secret: Mapping[str, str]) -> UUID:
    """Create a connector with its secret and publish it."""
    made = await api.post("/v1/connectors", {"name": name, "spec": spec.model_dump(mode="json")})
    if secret:
        await api.put(f"/v1/connectors/{made['id']}/secret", {"secret": dict(secret)})
    await api.post(f"/v1/connectors/{made['id']}/publish", {})
    return UUID(made["id"])


async def describe(
    api: Api, definitions: Definitions, source: Source, xsd_files: list[Path], destination: DirectoryDestination
) -> UUID:
    """Create and publish everything that the report needs, and the report; returns its id."""
    files = tuple(XsdFile(name=path.name, content=path.read_text(encoding="utf-8")) for path in sorted(xsd_files))
    ids = Ids(
        source_schema=await publish(api, "/v1/schemas", "trades", definitions.source_schema),
        target_schema=await publish(api, "/v1/schemas", "transaction reports", definitions.target_schema),
        mappings={
            alias: await publish(api, "/v1/mappings", alias, mapping) for alias, mapping in definitions.mappings.items()
        },
        xsd_set=await publish(api, "/v1/xsd-sets", "auth.016", XsdSetSpec(files=files)),
        destinations=(await publish(api, "/v1/destinations", "outbox", destination),),
    )
    rules = [await publish(api, "/v1/rules", name, rule) for name, rule in definitions.rules(ids).items()]
    ids = replace(ids, rules=tuple(rules))
    return await publish(api, "/v1/reports", "transactions", definitions.report(source, ids))


async def start(api: Api, report_id: UUID, business_date: date, as_of: datetime) -> UUID:
    """Start a run; returns its id."""
    body = {"report_id": str(report_id), "business_date": business_date.isoformat(), "as_of": as_of.isoformat()}
    return UUID((await api.post("/v1/runs", body))["id"])


async def wait(api: Api, run_id: UUID, seconds: float = 120) -> Any:
    """Wait for a run's end; returns the run.

    Raises:
        TimeoutError: it has not ended in time; names its state.
    """
    deadline = time.monotonic() + seconds
    while True:
        run = await api.get(f"/v1/runs/{run_id}")
        if run["status"] in ENDED:
            return run
        if time.monotonic() > deadline:
            raise TimeoutError(f"run {run_id} is still {run['status']} after {seconds} s")
        await asyncio.sleep(0.1)
