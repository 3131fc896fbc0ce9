"""The exception queue as people use it: amend one, waive one, send both again; and what the next days make of that."""

import asyncio
from datetime import date, timedelta
from typing import Any

import pytest

from examples.broker_week.job import wait
from examples.client import Api, ApiError
from tests.system.payments import DAY, Filing, filed
from tests.system.world import Tenant

BAD = {"P001": "-1.25", "P002": "0.00", "P003": "-7.00"}
LATER = "2099-01-01"


def payments(**changed: str) -> str:
    """Return twenty payments of which three are not above zero, some with other amounts."""
    amounts = {f"P{n:03}": f"{n}.25" for n in range(1, 21)} | BAD | changed
    return "id,amount,booked\n" + "".join(f"{id_},{amount},2026-03-02\n" for id_, amount in amounts.items())


async def on(filing: Filing, day: date, content: str) -> Any:
    """Run the report on a day's file."""
    (filing.tenant.inbox / f"payments-{day}.csv").write_text(content, encoding="utf-8")
    return await filing.run(day)


async def do(api: Api, row: Any, action: str, **body: Any) -> Any:
    """Act on an exception in the state in which it was read."""
    headers = {"If-Match": f'"{row["revision"]}"'}
    return (await api._send("POST", f"/v1/exceptions/{row['id']}/{action}", json=body, headers=headers)).json()


async def of(api: Api, run: Any, key: str) -> Any:
    """Return the exception of a record."""
    (row,) = (await api.get("/v1/exceptions", run_id=run["id"], key=key))["items"]
    return row


async def corrected(api: Api, sent: Any) -> Any:
    """Return the correction run of a resubmission, which the runner makes when it hears of it, at its end."""
    async with asyncio.timeout(30):
        while True:
            try:
                return await wait(api, sent["correction_run_id"])
            except ApiError as error:
                if error.status != 404:
                    raise
            await asyncio.sleep(0.1)


async def until(api: Api, path: str, status: str, seconds: float = 30) -> Any:
    """Wait until something is in a status."""
    async with asyncio.timeout(seconds):
        while (found := await api.get(path))["status"] != status:  # noqa: ASYNC110 - another service's work
            await asyncio.sleep(0.1)
        return found


async def test_a_week_of_exceptions(tenant: Tenant) -> None:
    """Only what was decided of goes out again, linked to its run; then it is applied, retires, and conflicts (S20, S28)."""
    api, filing = tenant.api, await filed(tenant, payments())
    first = await filing.run()
    assert (first["status"], first["records_held"]) == ("partial", 3)
    (group,) = (await api.get("/v1/exceptions/groups", run_id=first["id"]))["items"]
    assert (group["open"], sorted(cause["fields"]["amount"] for cause in group["causes"])) == (3, sorted(BAD.values()))
    amended = await do(
        api, await of(api, first, "P001"), "amend", reason="sign", changes=[{"field": "amount", "value": "1.25"}]
    )
    waived = await do(api, await of(api, first, "P002"), "waive", reason="a free one", expires_on=LATER)
    assert (amended["status"], waived["status"]) == ("amended", "waived")
    ids = [(await api.get(f"/v1/{kind}s", exception_id=row["id"]))["items"][0]["id"] for kind, row in
           (("amendment", amended), ("waiver", waived))]  # fmt: skip
    sent = [await do(api, row, "resubmit") for row in (amended, waived)]
    for one in sent:
        correction = await corrected(api, one)
        counts = (correction["kind"], correction["parent_id"], correction["status"], correction["records_out"])
        assert counts == ("correction", first["id"], "succeeded", 1), correction["reason"]
        ended = await until(api, f"/v1/resubmissions/{one['id']}", "ended")
        assert (ended["reported"], ended["reopened"], ended["run_status"]) == (1, 0, "succeeded")
    rows = (await api.get("/v1/exceptions", run_id=first["id"], order="oldest"))["items"]
    assert {row["key"]: row["status"] for row in rows} == {"P001": "closed", "P002": "closed", "P003": "open"}
    files = {path.name: path.read_text() for path in tenant.outbox.iterdir() if ".correction-" in path.name}
    assert sorted(text.splitlines()[1].split(",")[:2] for text in files.values()) == [
        ["P001", "1.25"],
        ["P002", "0"],
    ]
    answer = await api.get(f"/v1/reports/{filing.report}/records/P001", business_date=str(DAY))
    (record,) = answer["records"]
    assert (answer["disposition"], record["run_id"]) == ("sent", sent[0]["correction_run_id"])
    assert [(one["old_value"], one["new_value"], one["href"]) for one in record["corrections"]] == [
        ("-1.25", "1.25", f"/v1/amendments/{ids[0]}")
    ]
    (record,) = (await api.get(f"/v1/reports/{filing.report}/records/P002", business_date=str(DAY)))["records"]
    assert [one["rule_id"] for one in record["waived"]] == [str(filing.rule)]
    trail = [entry["type"] for entry in await _trail(api, amended["id"])]
    assert [name for name in trail if "exception" in name] == ["validator.exception.amended.v1"]

    second = await on(filing, DAY + timedelta(days=1), payments())
    assert (second["records_held"], second["records_out"]) == (1, 19)
    assert sum(rule["waived"] for rule in second["rules"]) == 1
    third = await on(filing, DAY + timedelta(days=2), payments(P001="1.25"))
    assert third["records_held"] == 1
    assert (await api.get(f"/v1/amendments/{ids[0]}"))["status"] == "retired"
    row = await of(api, third, "P003")
    await do(api, row, "amend", reason="sign", changes=[{"field": "amount", "value": "7.00"}])
    fourth = await on(filing, DAY + timedelta(days=3), payments(P001="1.25", P003="8.00"))
    assert fourth["records_held"] == 1
    conflict = await of(api, fourth, "P003")
    assert conflict["rule_id"].startswith("amendment:")
    assert "7.00" in conflict["message"]
    assert "8.00" in conflict["message"]


async def _trail(api: Api, entity: str) -> list[Any]:
    entries: list[Any] = []
    async with asyncio.timeout(30):
        while not entries:
            entries = await api.pages("/v1/audit/entries", type="validator.exception.", subject=entity)
            await asyncio.sleep(0.2)
    return entries


async def test_what_still_fails_comes_back_as_it_is_now(tenant: Tenant) -> None:
    """An amendment that fails again opens the exception with the new value: no error, no list without an end (S20)."""
    api, filing = tenant.api, await filed(tenant, payments())
    run = await filing.run()
    row = await do(
        api, await of(api, run, "P003"), "amend", reason="?", changes=[{"field": "amount", "value": "-8.00"}]
    )
    sent = await do(api, row, "resubmit")
    assert (await corrected(api, sent))["status"] == "partial"
    ended = await until(api, f"/v1/resubmissions/{sent['id']}", "ended")
    assert (ended["reported"], ended["reopened"]) == (0, 1)
    again = await of(api, run, "P003")
    assert (again["id"], again["status"], again["fields"]) == (row["id"], "open", {"amount": "-8.00"})
    assert await of(api, {"id": sent["correction_run_id"]}, "P003") == again
    history = await api.pages(f"/v1/exceptions/{row['id']}/history")
    assert [line["action"] for line in history] == ["amended", "resubmitted", "reopened"]


async def test_many_are_worked_on_as_one(tenant: Tenant) -> None:
    """A filter's exceptions are assigned, amended and sent again together, if they are as many as were seen."""
    api, filing = tenant.api, await filed(tenant, payments())
    run = await filing.run()
    meant = {"run_id": run["id"], "rule_id": str(filing.rule)}
    seen = await api.post("/v1/exceptions:amend", {"filter": meant, "dry_run": True, "reason": "x",
                                                    "changes": [{"field": "amount", "value": "5.00"}]})  # fmt: skip
    assert seen == {"matching": 3, "more": False, "changed": 0}
    body = {"filter": meant, "expected": 3}
    await api.post("/v1/exceptions:assign", {**body, "assignee": "0190a0a0-0000-7000-8000-000000000001"})
    await api.post(
        "/v1/exceptions:amend", {**body, "reason": "feed", "changes": [{"field": "amount", "value": "5.00"}]}
    )
    with pytest.raises(ApiError, match="means 0 exceptions"):
        await api.post("/v1/exceptions:waive", {**body, "reason": "none is open", "expires_on": LATER})
    answer = await api.post("/v1/exceptions:resubmit", body)
    correction = await corrected(api, answer["resubmission"])
    assert (correction["status"], correction["records_out"]) == ("succeeded", 3)
    await until(api, f"/v1/resubmissions/{answer['resubmission']['id']}", "ended")
    assert {row["status"] for row in (await api.get("/v1/exceptions", run_id=run["id"]))["items"]} == {"closed"}
