"""What a run did, for people to read."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from examples.client import Api

_LEDGER = ("records_in", "created", "records_out", "held", "rejected", "filtered", "duplicate", "merged")


def say(line: str) -> None:
    """Print a line of the story."""
    print(f"· {line}", flush=True)


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print rows under a header, numbers to the right."""
    lines = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(line[column]) for line in [list(header), *lines]) for column in range(len(header))]
    for line in [list(header), *lines]:
        cells = [
            cell.rjust(width) if cell.replace(",", "").replace(".", "").isdigit() else cell.ljust(width)
            for cell, width in zip(line, widths, strict=True)
        ]
        print("  " + "  ".join(cells).rstrip())


def heading(text: str) -> None:
    """Print a heading."""
    print(f"\n{text}\n{'─' * len(text)}")


def print_run(run: dict[str, Any], groups: Sequence[dict[str, Any]]) -> None:
    """Print a run's steps, ledger, exceptions and artifacts."""
    heading(f"Run {run['id']}: {run['status']}")
    print(
        f"  {run['report_name']} version {run['report_version']}, business date {run['business_date']}, as of {run['as_of']}"
    )
    if run["reason"]:
        print(f"  {run['reason']}")
    heading("Steps")
    table(
        ("step", "status", "seconds"),
        [(step["step"], step["status"], f"{step['seconds']:.3f}") for step in run["steps"]],
    )
    heading("Record ledger (in + created = out + held + rejected + filtered + duplicate + merged)")
    ledger = [(row["step"], *(f"{row[name]:,}" for name in _LEDGER)) for row in run["ledger"]]
    table(("step", *(name.removeprefix("records_") for name in _LEDGER)), ledger)
    _print_exceptions(groups)
    heading("Artifacts")
    table(
        ("name", "bytes", "records", "SHA-256"),
        [(item["name"], f"{item['size']:,}", f"{item['records']:,}", item["sha256"]) for item in run["artifacts"]],
    )
    heading("Deliveries")
    for delivery in run["deliveries"]:
        receipt = delivery["receipt"] or {}
        print(f"  {delivery['status']}: {receipt.get('path') or receipt.get('name') or delivery['reason']}")


def _print_exceptions(groups: Sequence[dict[str, Any]]) -> None:
    heading(f"Exceptions: {sum(group['records'] for group in groups)} in {len(groups)} groups")
    for group in groups:
        print(f"  {group['records']:>4}  {group['rule_name']}")
        for sample in (group["samples"] or [])[:2]:
            print(f"        row {sample['ordinal']}, {sample['key']}: {sample['message']}")


async def print_trail(api: Api, run_id: UUID) -> None:
    """Print what the audit trail says, and that it verifies against its signed checkpoint."""
    held, entries = await _settled(api, run_id)
    heading(f"Audit trail: {len(entries)} entries")
    table(("event", "entries"), sorted(Counter(entry["type"] for entry in entries).items()))
    verdict = await api.post("/v1/audit/verify", {"checkpoint": held})
    heading("Signed checkpoint")
    print("  " + held.strip().replace("\n", "\n  "))
    print(f"\n  {verdict['finding']}: {verdict['detail']}")


async def _settled(api: Api, run_id: UUID) -> tuple[str, list[dict[str, Any]]]:
    """Wait until the trail has the run's end and a checkpoint covers it."""
    for _ in range(600):
        entries = await api.pages("/v1/audit/entries")
        latest = await api.get("/v1/audit/checkpoints/latest")
        ends = [
            entry["seq"]
            for entry in entries
            if entry["type"].startswith("runner.run.") and entry["subject"] == str(run_id)
        ]
        if ends and latest["size"] > max(ends):
            return latest["note"], entries
        await asyncio.sleep(0.2)
    raise TimeoutError("the trail did not settle within two minutes")
