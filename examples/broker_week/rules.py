"""The checks on a trade, and which of them fail for which known defect. No rule knows an id."""

from collections.abc import Mapping
from dataclasses import dataclass

from libs.common.vocabulary.rules import Check, ExpressionCheck, ReferenceCheck, SequenceCheck, Severity, UniqueCheck

_REPORT = ("trade_id", "version", "action")


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule before it has ids: its check, the mappings that it names and its message."""

    check: Check
    message: str
    mappings: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    severity: Severity = "blocking"
    external_id: str = ""


def _holds(expression: str) -> ExpressionCheck:
    return ExpressionCheck(expression=expression)


RULES: Mapping[str, Rule] = {
    "reference-form": Rule(
        _holds("matches(trade_id, '[A-Z0-9]{1,52}')"),
        "reference {trade_id} is not 1 to 52 of A-Z and 0-9",
        external_id="RTS 22 field 2",
    ),
    "action-known": Rule(_holds("action in ('NEW', 'CANCEL')"), "action {action} is neither NEW nor CANCEL"),
    "side-known": Rule(_holds("side in ('B', 'S')"), "side {side} is neither B nor S"),
    "reported-once": Rule(
        UniqueCheck(fields=_REPORT), "{action} of {trade_id} version {version} was reported before", fields=_REPORT
    ),
    "cancellation-has-original": Rule(
        SequenceCheck(fields=("trade_id", "version"), when="action == 'CANCEL'", requires="action == 'NEW'"),
        "cancellation of {trade_id} version {version}, which was never reported",
        fields=_REPORT,
    ),
    "isin-form": Rule(_holds("isin(isin)"), "{isin} is not an ISIN", external_id="RTS 22 field 41"),
    "instrument-known": Rule(
        ReferenceCheck(field="isin", mapping="instruments"),
        "instrument {isin} is not in the reference data",
        ("instruments",),
        external_id="CON-412",
    ),
    "quantity-positive": Rule(
        _holds("quantity > 0"), "quantity {quantity} is not above zero", external_id="RTS 22 field 30"
    ),
    "price-not-negative": Rule(_holds("price >= 0"), "price {price} is below zero", external_id="RTS 22 field 33"),
    "currency-known": Rule(
        _holds("currency(price_ccy)"), "{price_ccy} is not an ISO 4217 currency", external_id="RTS 22 field 34"
    ),
    "venue-known": Rule(_holds("mic(venue)"), "{venue} is not an ISO 10383 MIC", external_id="RTS 22 field 36"),
    "venue-transaction-named": Rule(
        _holds("venue_tx_id is not null or venue in ('XOFF', 'XXXX') or not mic(venue)"),
        "trade on {venue} without the venue's transaction id",
        fields=("venue", "venue_tx_id"),
        external_id="RTS 22 field 3",
    ),
    "not-in-the-future": Rule(
        _holds("executed_at <= as_of"), "executed at {executed_at}, in the future", external_id="RTS 22 field 28"
    ),
    "not-over-five-years": Rule(
        _holds("executed_at >= add_years(as_of, -5)"),
        "executed at {executed_at}, more than five years ago",
        external_id="RTS 22 field 28",
    ),
    "capacity-known": Rule(
        _holds("capacity in ('DEAL', 'MTCH', 'AOTC')"),
        "capacity {capacity} is none of DEAL, MTCH, AOTC",
        external_id="RTS 22 field 29",
    ),
    "capacity-fits-client": Rule(
        _holds("capacity not in ('DEAL', 'MTCH', 'AOTC') or (capacity == 'AOTC') == (client is not null)"),
        "capacity {capacity} does not go with client {client}",
        fields=("capacity", "client"),
    ),
    "client-known": Rule(
        ReferenceCheck(field="client", mapping="clients"), "client {client} is not in the client table", ("clients",)
    ),
    "counterparty-known": Rule(
        ReferenceCheck(field="counterparty", mapping="counterparties"),
        "counterparty {counterparty} is not in the counterparty table",
        ("counterparties",),
    ),
    "counterparty-has-lei": Rule(
        _holds("lei(lookup('counterparties', counterparty, 'lei'))"),
        "counterparty {counterparty} has no valid LEI",
        ("counterparties",),
    ),
    "short-sale-known": Rule(
        _holds("short_sale in ('SESH', 'SSEX', 'SELL', 'UNDI')"),
        "short sale {short_sale} is none of SESH, SSEX, SELL, UNDI",
        external_id="RTS 22 field 62",
    ),
    "short-sale-on-purchase": Rule(
        _holds("short_sale is null or side == 'S'"),
        "purchase marked as short sale {short_sale}",
        fields=("side", "short_sale"),
        severity="warning",
    ),
}

EXPECTED: Mapping[str, frozenset[str]] = {
    "qty-zero": frozenset({"quantity-positive"}),
    "qty-negative": frozenset({"quantity-positive"}),
    "price-text": frozenset({"schema:price:type"}),
    "price-comma": frozenset({"schema:price:type"}),
    "ccy-missing": frozenset({"schema:price_ccy:required"}),
    "ccy-minor-unit": frozenset({"currency-known"}),
    "isin-missing": frozenset({"schema:isin:required"}),
    "isin-check-digit": frozenset({"isin-form", "instrument-known"}),
    "isin-unknown": frozenset({"instrument-known"}),
    "whitespace": frozenset({"isin-form", "instrument-known"}),
    "mic-unknown": frozenset({"venue-known"}),
    "mic-lowercase": frozenset({"venue-known"}),
    "venue-id-missing": frozenset({"venue-transaction-named"}),
    "time-no-zone": frozenset({"schema:executed_at:type"}),
    "time-future": frozenset({"not-in-the-future"}),
    "time-over-5-years": frozenset({"not-over-five-years"}),
    "capacity-unknown": frozenset({"capacity-known"}),
    "capacity-client-mismatch": frozenset({"capacity-fits-client"}),
    "client-unknown": frozenset({"client-known"}),
    "cp-unknown": frozenset({"counterparty-known"}),
    "cp-lei-check-digit": frozenset({"counterparty-has-lei"}),
    "duplicate-report": frozenset({"reported-once"}),
    "cancel-without-original": frozenset({"cancellation-has-original"}),
}
"""For each kind of defect exactly the blocking rules that fail: those above and the checks that a schema implies."""
