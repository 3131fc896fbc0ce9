"""What can be wrong with a trade: each kind, the rows that it can befall and how it spoils one."""

from collections.abc import Callable
from dataclasses import dataclass

from examples.broker_week.trades import OFF_VENUE, Trade

DUPLICATE = "duplicate-report"
ORPHAN = "cancel-without-original"


@dataclass(frozen=True, slots=True)
class Defect:
    """A kind of defect of one field of a row; `befalls` says which good rows it can be put into."""

    kind: str
    field: str
    spoil: Callable[[Trade], str]
    befalls: Callable[[Trade], bool] = lambda _: True


def _on_venue(trade: Trade) -> bool:
    return trade.venue != OFF_VENUE


def _for_client(trade: Trade) -> bool:
    return trade.client != ""


def _wrong_check_digit(isin: str) -> str:
    return f"{isin[:-1]}{(int(isin[-1]) + 3) % 10}"


def _years_away(years: int) -> Callable[[Trade], str]:
    return lambda trade: f"{int(trade.executed_at[:4]) + years}{trade.executed_at[4:]}"


DEFECTS = (
    Defect("qty-zero", "quantity", lambda _: "0"),
    Defect("qty-negative", "quantity", lambda trade: f"-{trade.quantity}"),
    Defect("price-text", "price", lambda _: "n/a"),
    Defect("price-comma", "price", lambda trade: trade.price.replace(".", ",")),
    Defect("ccy-missing", "price_ccy", lambda _: ""),
    Defect("ccy-minor-unit", "price_ccy", lambda _: "GBX"),
    Defect("isin-missing", "isin", lambda _: ""),
    Defect("isin-check-digit", "isin", lambda trade: _wrong_check_digit(trade.isin)),
    Defect("isin-unknown", "isin", lambda _: "XS0000000009"),
    Defect("whitespace", "isin", lambda trade: f" {trade.isin} "),
    Defect("mic-unknown", "venue", lambda _: "XZZZ", _on_venue),
    Defect("mic-lowercase", "venue", lambda trade: trade.venue.lower()),
    Defect("venue-id-missing", "venue_tx_id", lambda _: "", _on_venue),
    Defect("time-no-zone", "executed_at", lambda trade: trade.executed_at.replace("T", " ").removesuffix("Z")),
    Defect("time-future", "executed_at", _years_away(10)),
    Defect("time-over-5-years", "executed_at", _years_away(-8)),
    Defect("capacity-unknown", "capacity", lambda _: "PRIN"),
    Defect("capacity-client-mismatch", "capacity", lambda _: "DEAL", _for_client),
    Defect("client-unknown", "client", lambda _: "CL9999", _for_client),
    Defect("cp-unknown", "counterparty", lambda _: "CP999"),
    Defect("cp-lei-check-digit", "counterparty", lambda _: "CP020"),
)
"""The defects of one row's own values. Duplicates and orphaned cancellations concern whole rows."""

KINDS = frozenset({defect.kind for defect in DEFECTS} | {DUPLICATE, ORPHAN})
