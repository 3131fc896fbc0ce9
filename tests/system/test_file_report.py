"""Line 0: a CSV file below a root, one rule, a CSV file in a directory, a trail that is proven."""

from pathlib import Path

from tests.system.payments import BAD, edit, filed, rule_spec
from tests.system.proof import assert_balanced, assert_delivered_as_promised, sha256, trail_after, verified_offline
from tests.system.world import Tenant


async def test_file_becomes_a_delivered_report(tenant: Tenant, tmp_path: Path) -> None:
    """Nineteen payments go out, one is held, the ledger balances and the trail proves itself (S1, S3)."""
    filing = await filed(tenant)
    run = await filing.run()
    assert (run["status"], run["records_in"], run["records_out"], run["records_held"]) == ("partial", 20, 19, 1)
    assert_balanced(run)
    assert_delivered_as_promised(run, tenant)
    lines = (tenant.outbox / "payments-2026-03-06.csv").read_text(encoding="utf-8").splitlines()
    assert lines[:2] == ["id,amount,booked", "P002,0.25,2026-03-03"]
    assert len(lines) == 20
    assert not any(line.startswith(BAD) for line in lines)
    note, entries = await trail_after(tenant, run["id"])
    assert sum(entry["type"] == "runner.run.partial.v1" for entry in entries) == 1
    verdict = await tenant.api.post("/v1/audit/verify", {"checkpoint": note})
    assert (verdict["finding"], verdict["good"]) == ("proven", True)
    assert "PROVEN" in await verified_offline(tenant, note, tmp_path)


async def test_rerun_gives_the_same_bytes(tenant: Tenant) -> None:
    """A run repeated with its versions gives every artifact again, byte for byte, whatever was published since (S5)."""
    filing = await filed(tenant)
    first = await filing.run()
    before = sha256(tenant.outbox / "payments-2026-03-06.csv")
    await edit(tenant.api, f"/v1/rules/{filing.rule}", rule_spec(filing.schema, "amount > 5"))
    again = await filing.rerun(first["id"])
    assert again["parent_id"] == first["id"]
    assert [a["sha256"] for a in again["artifacts"]] == [a["sha256"] for a in first["artifacts"]] == [before]
    assert_balanced(again)


async def test_held_record_is_explained(tenant: Tenant) -> None:
    """Who asks what became of a record hears: held, by which rule, with which message (S2)."""
    filing = await filed(tenant)
    run = await filing.run()
    answer = await tenant.api.get(f"/v1/reports/{filing.report}/records/{BAD}", business_date="2026-03-06")
    (record,) = answer["records"]
    assert (answer["disposition"], answer["run"]["id"], record["ordinal"]) == ("held", run["id"], 1)
    reasons = [(reason["rule_id"], reason["message"]) for reason in record["reasons"]]
    assert reasons == [(str(filing.rule), "amount -1.25 is not positive")]
