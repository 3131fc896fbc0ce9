"""How runs look from outside."""

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi.responses import Response

from libs.common.database.transaction import Row
from libs.common.http.json import json_bytes
from services.runner.api.shapes import HIDDEN_OF_CODE
from services.runner.domain.ledger import Balance

_RUN = (
    "id",
    "kind",
    "report_id",
    "report_name",
    "report_version",
    "business_date",
    "as_of",
    "status",
    "step",
    "code",
    "reason",
    "trigger",
    "row_limit",
    "parent_id",
    "rules_of",
    "schedule_id",
    "nominal_time",
    "calendar_id",
    "calendar_version",
    "cancel_asked",
    "records_in",
    "records_out",
    "records_held",
    "created_by",
    "created_at",
    "started_at",
    "ended_at",
    "pins",
)
_STEP = ("step", "status", "attempt", "started_at", "ended_at", "outputs", "code", "message", "reused_from")
_ARTIFACT = ("id", "run_id", "name", "format", "sha256", "size", "records", "created_at")
_DELIVERY = ("id", "artifact_id", "destination_id", "status", "receipt", "code", "reason", "created_at", "ended_at")


def answer(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a JSON answer."""
    return Response(json_bytes(value), status, dict(headers or {}), "application/json")


def run_answer(run: Row) -> dict[str, Any]:
    """Return a run as an object."""
    return {name: run[name] for name in _RUN}


def step_answer(step: Row) -> dict[str, Any]:
    """Return a step with its duration in seconds."""
    seconds = (step["ended_at"] - step["started_at"]).total_seconds()
    return {**{name: step[name] for name in _STEP}, "seconds": seconds}


def ledger_answer(balances: Sequence[tuple[str, Balance]]) -> list[dict[str, Any]]:
    """Return a run's balances, a row a step."""
    return [{"step": step, **balance.as_dict()} for step, balance in balances]


def transform_answer(asked: Row | None) -> dict[str, Any] | None:
    """Return what came of the report's own code, or None where it has none (yet)."""
    if asked is None:
        return None
    times = {name: asked[name] for name in ("status", "requested_at", "ended_at")}
    return {**times, **{name: value for name, value in (asked["result"] or {}).items() if name not in HIDDEN_OF_CODE}}


def artifact_answer(artifact: Row) -> dict[str, Any]:
    """Return an artifact with the link to its content."""
    link = f"/v1/artifacts/{artifact['id']}/content"
    return {**{name: artifact[name] for name in _ARTIFACT}, "content": link}


def delivery_answer(delivery: Row) -> dict[str, Any]:
    """Return a delivery."""
    return {name: delivery[name] for name in _DELIVERY}


def rules_answer(verdicts: Mapping[str, Row]) -> list[dict[str, Any]]:
    """Return the counts by rule of a run's verdicts."""
    given = [(phase, row["verdict"] or {}) for phase, row in verdicts.items()]
    return [{"phase": phase, **count} for phase, verdict in given for count in verdict.get("counts", [])]
