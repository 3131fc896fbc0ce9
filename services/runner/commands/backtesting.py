"""A draft on past data: which runs are replayed with it, and what came of all of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from libs.common import tenancy
from libs.common.database.transaction import Row, Transaction
from libs.common.definitions.copies import Pinned
from libs.common.errors import Conflict, FieldProblem
from libs.common.events.definitions import DefinitionProposed
from libs.common.events.envelope import Event
from libs.common.events.runner import BacktestCreated, VersionReference
from libs.common.ids import derived_id, uuid7
from libs.common.objects import Sealed
from libs.common.vocabulary.policies import Replayed
from services.runner.commands.concluding import conclude
from services.runner.commands.creation import Order, add_pinned
from services.runner.commands.pinning import NotYetVisible, Pinning
from services.runner.commands.results import StepResult
from services.runner.commands.sealing import add_sealed
from services.runner.domain.comparing import COMPARED
from services.runner.library import RULE, Library
from services.runner.store import backtests, parts, runs

_REPLAYED: Mapping[str, Replayed] = {"rule": "rule", "mapping": "mapping", "schema": "schema"}


@dataclass(frozen=True, slots=True)
class Trial:
    """A draft that is to be tried on the last runs of the reports that use it, or of one report."""

    kind: Replayed
    definition_id: UUID
    last: int
    report_id: UUID | None = None
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """A draft by reference, and what it is called."""

    name: str
    pinned: Pinned


async def ask_backtest(tx: Transaction, library: Library, trial: Trial) -> Row:
    """Replay past runs with a draft as it is known here.

    Raises:
        NotYetVisible: no draft of it is known here (yet), or another one than `sha256` names. TenantSuspended.
        Conflict: the report does not use it.
    """
    await tenancy.require_active(tx)
    row = await backtests.find_draft(tx, trial.kind, trial.definition_id)
    if row is None or trial.sha256 not in (None, row["sha256"]):
        fields = [FieldProblem("/id" if row is None else "/sha256", f"no such draft of a {trial.kind} is known here")]
        raise NotYetVisible(
            f"The {trial.kind} has no such draft, or it is not known here yet.", fields=fields, retry_after=1
        )
    draft = Draft(row["name"], Pinned(trial.kind, row["id"], row["number"], row["object_key"], row["sha256"]))
    reports = await _reports(tx, library, draft.pinned)
    if trial.report_id is not None and trial.report_id not in reports:
        problem = FieldProblem("/report_id", f"does not use the {trial.kind}")
        raise Conflict("The report does not use it, or is not known here yet.", type="not-used", fields=[problem])
    chosen = reports if trial.report_id is None else [trial.report_id]
    return await replay(tx, trial, draft, chosen, backtest_id=uuid7(tx.context.now))


async def _reports(tx: Transaction, library: Library, draft: Pinned) -> list[UUID]:
    """Return the reports that use a definition; a rule that none uses yet is tried where its schema is used."""
    found = await backtests.users_of(tx, draft.id)
    if found or draft.kind != "rule":
        return found
    return await backtests.users_of(tx, (await library.read(draft, RULE)).schema_id)


async def on_proposed(tx: Transaction, event: Event) -> None:
    """Try a proposed draft on past data where its owner waits for that; said twice, it is tried once."""
    data = DefinitionProposed.model_validate(event.data)
    backtest_id = derived_id("backtest", str(tx.tenant_id), str(data.proposal_id))
    if not data.replays or await backtests.exists(tx, backtest_id):
        return
    draft = Draft(data.name, Pinned.from_json(data.draft.model_dump(mode="json")))
    reports = await backtests.users_of(tx, data.id)
    if not reports and data.kind == "rule":
        schemas = [each.id for each in data.references if each.kind == "schema"]
        reports = [report for schema in schemas for report in await backtests.users_of(tx, schema)]
    trial = Trial(_REPLAYED[data.kind], data.id, data.replays)
    await replay(tx, trial, draft, reports, backtest_id=backtest_id, proposal_id=data.proposal_id)


async def replay(
    tx: Transaction,
    trial: Trial,
    draft: Draft,
    reports: list[UUID],
    *,
    backtest_id: UUID,
    proposal_id: UUID | None = None,
) -> Row:
    """Create a backtest and its runs; one without a past run is complete at once."""
    past = await backtests.past_runs(tx, reports, trial.last)
    made = {"id": backtest_id, "kind": trial.kind, "definition_id": trial.definition_id, "sha256": draft.pinned.sha256}
    more = {"name": draft.name, "draft": draft.pinned.as_json(), "report_id": trial.report_id, "last": trial.last}
    await backtests.add(tx, **made, **more, runs=len(past), proposal_id=proposal_id)
    fact = BacktestCreated(
        backtest_id=backtest_id,
        draft=VersionReference(**draft.pinned.as_json()),
        proposal_id=proposal_id,
        runs=len(past),
    )
    await tx.emit("backtest.created", fact, entity=backtest_id)
    for parent in past:
        await _repeat(tx, parent, backtest_id, draft.pinned)
    if not past:
        await conclude(tx, backtest_id)
    return await backtests.find(tx, backtest_id)


async def _repeat(tx: Transaction, parent: Row, backtest_id: UUID, draft: Pinned) -> None:
    """Create a run on a past run's sealed extract, with its versions but for the draft."""
    order = Order(parent["report_id"], parent["business_date"], parent["as_of"], kind="backtest")
    pins = [Pinned.from_json(pin) for pin in parent["pins"]]
    pinning = Pinning(parent["report_name"], tuple(draft if pin.id == draft.id else pin for pin in pins))
    own = {"parent_id": parent["id"], "rules_of": parent["id"], "backtest_id": backtest_id, "draft": draft.as_json()}
    done = {row["step"]: row for row in await parts.steps(tx, parent["id"])}
    extract = done["extract"]
    facts = {**extract["facts"], "baseline": _baseline(done)}
    if draft.kind == "schema":  # it may have fields that the extract lacks: a worker adds them
        await add_pinned(
            tx, order, pinning, trigger="rerun", **own, selection={"outputs": extract["outputs"], "facts": facts}
        )
        return
    run = await add_pinned(tx, order, pinning, trigger="rerun", **own)
    balance = dict(await parts.balances(tx, parent["id"]))["extract"]
    result = StepResult(
        step="extract",
        started_at=tx.context.now,
        balance=balance,
        outputs={name: Sealed(**sealed) for name, sealed in extract["outputs"].items()},
        facts=facts,
    )
    await add_sealed(tx, run["id"], result, attempt=0, reused_from=extract["reused_from"] or parent["id"])
    await runs.change(tx, run, step="validate")


def _baseline(done: Mapping[str, Row]) -> dict[str, Any]:
    """Return what the past run made, by what it is compared as."""
    found = {part: done[step]["outputs"].get(name) for part, (step, name) in COMPARED.items() if step in done}
    return {part: sealed for part, sealed in found.items() if sealed}
