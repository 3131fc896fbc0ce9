"""Backtests: a draft tried on past data, and what would be different with it."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select

from libs.common.app import Runtime
from libs.common.database.transaction import Row
from libs.common.definitions.answers import document, listed
from libs.common.errors import FieldProblem, Invalid
from libs.common.http.door import Caller, Door, OpenDoor, Tx, permission, request_context
from libs.common.http.pages import PageParameters, page_of
from libs.common.vocabulary.policies import Replayed
from services.runner.api.answers import answer
from services.runner.api.findings import Backtest, BacktestDifference, ShownBacktest
from services.runner.api.patience import library_of, patiently
from services.runner.commands.backtesting import Trial, ask_backtest
from services.runner.commands.cancelling import cancel_backtest
from services.runner.domain.comparing import Difference
from services.runner.records.differences import DifferenceReader, Wanted
from services.runner.store import backtests as store
from services.runner.store.tables import backtest

READ, START = [permission("backtest:read")], [permission("backtest:start")]
asking = OpenDoor("/v1/backtests", tag="backtests")
backtests = Door("/v1/backtests", tag="backtests")

_SHOWN = ("id", "kind", "definition_id", "name", "sha256", "proposal_id", "report_id", "last", "runs", "failed", "status",
          "counts", "created_by", "created_at", "ended_at")  # fmt: skip
_LISTED = select(*(backtest.c[name] for name in _SHOWN))


class NewBacktest(BaseModel):
    """A draft that is to be tried on the newest runs of the reports that use it.

    A rule that no report uses yet is tried where its schema is used. `sha256` names the draft that is meant, as a proposal
    does; without it, it is the newest that is known.
    """

    model_config = ConfigDict(extra="forbid")

    kind: Replayed
    id: UUID
    last: int = Field(default=5, ge=1, le=30, description="past runs to replay, the reports by turns")
    report_id: UUID | None = Field(default=None, description="replay runs of this report only")
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")


@asking.post("", status_code=201, dependencies=START, responses=document(Backtest, 201))
async def start_backtest(request: Request, caller: Caller, body: NewBacktest) -> Response:
    """Judge and transform past runs' sealed extracts again with a draft; no source is asked, nothing is delivered."""
    trial = Trial(body.kind, body.id, body.last, body.report_id, body.sha256)

    async def start(tx: Tx) -> Response:
        row = await ask_backtest(tx, library_of(request), trial)
        return answer(_shown(row), 201, {"Location": f"/v1/backtests/{row['id']}"})

    return await patiently(request, caller, start)


@backtests.get("", dependencies=READ, responses=document(listed(Backtest)))
async def list_backtests(tx: Tx, page: PageParameters, definition_id: UUID | None = None) -> Response:
    """List backtests, newest first."""
    statement = _LISTED if definition_id is None else _LISTED.where(backtest.c.definition_id == definition_id)
    return await page_of(tx, statement, page, (backtest.c.created_at, backtest.c.id))


@backtests.get("/{id}", dependencies=READ, responses=document(ShownBacktest))
async def show_backtest(tx: Tx, id: UUID) -> Response:  # noqa: A002 - the path's own word
    """Show a backtest: how far it is, what is different, and each run with its counts and first differences."""
    row = await store.find(tx, id)
    return answer({**_shown(row), "replays": [_replay(each) for each in await store.replays(tx, id)]})


@backtests.post("/{id}/cancel", status_code=202, dependencies=START, responses=document(Backtest, 202))
async def stop_backtest(tx: Tx, id: UUID) -> Response:  # noqa: A002
    """Cancel the runs of a backtest that have not ended."""
    await cancel_backtest(tx, id)
    return answer(_shown(await store.find(tx, id)), 202)


@asking.get("/{id}/differences", dependencies=READ, responses=document(listed(BacktestDifference)))
async def list_differences(
    request: Request,
    caller: Caller,
    id: UUID,  # noqa: A002
    page: PageParameters,
    run_id: Annotated[UUID | None, Query(description="of this replay only")] = None,
    difference: Annotated[Difference | None, Query()] = None,
) -> Response:
    """List what is different, run by run, by difference, key and field."""
    if page.offset:
        raise Invalid("This list goes by cursor.", fields=[FieldProblem("offset", "follow `next`")])
    runtime: Runtime = request.app.state.runtime
    reader = DifferenceReader(runtime.database, runtime.objects, runtime.extras["jobs"], runtime.extras["scratch"])
    wanted = Wanted(id, run_id, difference, page.limit, page.cursor)
    return answer(await reader.page(request_context(request, caller), wanted))


def _shown(row: Row) -> dict[str, Any]:
    return {name: row[name] for name in _SHOWN}


def _replay(row: Row) -> dict[str, Any]:
    names = ("id", "parent_id", "report_id", "report_name", "business_date", "status", "step", "code", "reason")
    facts = row["facts"] or {}
    found = {name: facts.get(name) for name in ("records", "counts", "by_rule", "by_field", "samples")}
    return {**{name: row[name] for name in names}, **found}
