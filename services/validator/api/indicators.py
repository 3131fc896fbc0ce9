"""How good a report's runs are, and from where on somebody is told."""

from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from fastapi import Query, Response
from sqlalchemy import BigInteger, ColumnElement, Numeric, cast, func, select

from libs.common.definitions.answers import document, listed
from libs.common.definitions.api import Body
from libs.common.errors import NotFound
from libs.common.http.door import Door, IfMatch, Tx, etag, permission
from libs.common.http.json import json_bytes
from libs.common.http.pages import PageParameters, page_of
from libs.common.vocabulary.indicators import Metric, State, ThresholdSpec
from libs.common.vocabulary.rules import Phase
from services.validator.api.answers import Indicator, IndicatorThreshold, IndicatorValue
from services.validator.indicators import commands, store
from services.validator.indicators.measures import MILLION

indicators = Door("/v1/indicators", tag="indicators")
thresholds = Door("/v1/indicator-thresholds", tag="indicators")
READ, WRITE = [permission("indicator:read")], [permission("indicator:write")]
_I, _V = store.indicator.c, store.indicator_value.c


class ThresholdDraft(Body):
    """A threshold's description."""

    spec: ThresholdSpec


def _exact(column: ColumnElement[int]) -> ColumnElement[Decimal]:
    """Show whole millionths as the decimal that they are."""
    return func.trim_scale(cast(column, Numeric) / cast(MILLION, BigInteger))


_SHOWN = (
    *(_I.id, _I.report_id, _I.metric, _I.phase, _I.subject, _I.name, _I.state, _I.since, _I.threshold_id),
    *(_I.run_id, _I.business_date, _I.measured_at, _I.numerator, _I.denominator),
    *(_exact(column).label(column.name) for column in (_I.value, _I.previous, _I.average, _I.slope)),
    _I.runs,
)
_VALUES = (
    *(_V.number, _V.run_id, _V.business_date, _V.numerator, _V.denominator, _exact(_V.value).label("value")),
    *(_V.state, _V.measured_at),
)


@indicators.get("", dependencies=READ, responses=document(listed(Indicator)))
async def list_indicators(
    tx: Tx,
    page: PageParameters,
    report_id: UUID | None = None,
    state: State | None = None,
    metric: Metric | None = None,
    subject: Annotated[str | None, Query(max_length=63, pattern=r"^[^\x00]*$")] = None,
    phase: Phase | None = None,
) -> Response:
    """List indicators as the last run left them; average and slope are of the last twenty runs at most."""
    statement = select(*_SHOWN)
    wanted: tuple[tuple[ColumnElement[Any], Any], ...] = (
        (_I.report_id, report_id),
        (_I.state, state),
        (_I.metric, metric),
        (_I.subject, subject),
        (_I.phase, phase),
    )
    for column, value in wanted:
        if value is not None:
            statement = statement.where(column == value)
    return await page_of(tx, statement, page, [_I.id])


@thresholds.post("", status_code=201, dependencies=WRITE, responses=document(IndicatorThreshold, 201))
async def create_threshold(tx: Tx, body: ThresholdDraft) -> Response:
    """Say from where on a metric is a warning or critical: for all reports, one, or one rule or field."""
    return await _threshold(tx, await commands.create_threshold(tx, body.spec), 201)


@thresholds.get("", dependencies=READ, responses=document(listed(IndicatorThreshold)))
async def list_thresholds(tx: Tx, page: PageParameters, report_id: UUID | None = None) -> Response:
    """List thresholds, newest first."""
    statement = select(*store.THRESHOLD)
    if report_id is not None:
        statement = statement.where(store.indicator_threshold.c.report_id == report_id)
    return await page_of(tx, statement, page, [store.indicator_threshold.c.id])


@thresholds.get("/{id}", dependencies=READ, responses=document(IndicatorThreshold))
async def get_threshold(tx: Tx, id: UUID) -> Response:  # noqa: A002 - the path's own word
    """Return a threshold."""
    return await _threshold(tx, id)


@thresholds.put("/{id}", dependencies=WRITE, responses=document(IndicatorThreshold))
async def edit_threshold(tx: Tx, id: UUID, body: ThresholdDraft, revision: IfMatch) -> Response:  # noqa: A002
    """Change a threshold."""
    await commands.edit_threshold(tx, id, revision, body.spec)
    return await _threshold(tx, id)


@thresholds.delete("/{id}", status_code=204, dependencies=WRITE)
async def delete_threshold(tx: Tx, id: UUID) -> Response:  # noqa: A002
    """Delete a threshold; states that only it gave end with the next run."""
    await commands.remove_threshold(tx, id)
    return Response(status_code=204)


@indicators.get("/{id}", dependencies=READ, responses=document(Indicator))
async def get_indicator(tx: Tx, id: UUID) -> Response:  # noqa: A002
    """Return an indicator."""
    return Response(json_bytes(_numbers(await _indicator(tx, id))), media_type="application/json")


@indicators.get("/{id}/values", dependencies=READ, responses=document(listed(IndicatorValue)))
async def list_values(tx: Tx, id: UUID, page: PageParameters) -> Response:  # noqa: A002
    """List an indicator's values, run by run, newest first; the last thousand are kept."""
    await _indicator(tx, id)
    return await page_of(tx, select(*_VALUES).where(_V.indicator_id == id), page, [_V.number])


async def _indicator(tx: Tx, id_: UUID) -> Any:
    row = await tx.row(select(*_SHOWN).where(_I.id == id_))
    if row is None:
        raise NotFound("There is no such indicator.")
    return row


def _numbers(row: Any) -> dict[str, Any]:
    return {name: float(value) if isinstance(value, Decimal) else value for name, value in dict(row).items()}


async def _threshold(tx: Tx, id_: UUID, status: int = 200) -> Response:
    row = await store.find_threshold(tx, id_)
    headers = etag(row["revision"])
    if status == 201:  # noqa: PLR2004 - created
        headers["Location"] = f"/v1/indicator-thresholds/{id_}"
    return Response(json_bytes(row), status, headers, "application/json")
