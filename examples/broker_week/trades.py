"""Good trades: one broker's new trades of a week, each a row of text as a booking system exports it."""

import bisect
import itertools
import random
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import NamedTuple

from examples.broker_week.parties import Client, Counterparty, Instrument

OFF_VENUE = "XOFF"
_OPENS, _SECONDS_OPEN = timedelta(hours=7, minutes=5), 8 * 3600 + 20 * 60
_MICROSECONDS = 1_000_000
_WORKING_DAYS = 5
_ON_VENUE = 0.84
_BOOKS = ("CASH", "PROGRAM", "FACILITATION")
_CAPACITIES = ("DEAL",) * 50 + ("AOTC",) * 26 + ("MTCH",) * 24
_ALGORITHMS = ("",) * 8 + ("ALGO1", "ALGO2", "ALGO3", "ALGO4")
_SHORT_SALES = ("", "", "", "SESH", "SELL")


class Trade(NamedTuple):
    """One row. `side` is the broker's; the other side is the counterparty, or the client where there is one."""

    trade_id: str
    version: str
    action: str
    executed_at: str
    booked_at: str
    book: str
    trader: str
    algo: str
    side: str
    isin: str
    quantity: str
    price: str
    price_ccy: str
    venue: str
    venue_tx_id: str
    counterparty: str
    client: str
    capacity: str
    short_sale: str
    settlement_date: str


class Desk:
    """Invents good trades, always the same ones for the same seed. A few instruments make most of the volume."""

    def __init__(
        self, seed: int, monday: date, instruments: Sequence[Instrument], counterparties: Sequence[Counterparty],
        clients: Sequence[Client],
    ) -> None:  # fmt: skip
        self._rng = random.Random(f"trades {seed}")
        self._days = _days(monday)
        self._instruments = self._rng.sample(instruments, len(instruments))
        self._popularity = list(itertools.accumulate(1 / (rank + 2) for rank in range(len(instruments))))
        self._prices = [round(self._rng.lognormvariate(4, 0.8), 4) for _ in instruments]
        self._counterparties = sorted({counterparty.code for counterparty in counterparties})
        self._clients = [client.code for client in clients]

    def trades(self, count: int) -> Iterator[Trade]:
        """Yield `count` new trades with running ids."""
        return (self._trade(number) for number in range(1, count + 1))

    def _trade(self, number: int) -> Trade:
        pick, below = self._pick, self._below
        rank = bisect.bisect(self._popularity, self._rng.random() * self._popularity[-1], hi=len(self._instruments) - 1)
        instrument = self._instruments[rank]
        executed, booked, settles = self._times()
        capacity, side, on_venue = pick(_CAPACITIES), pick("BS"), self._rng.random() < _ON_VENUE
        return Trade(
            trade_id=f"W{number:08d}",
            version="1",
            action="NEW",
            executed_at=executed,
            booked_at=booked,
            book=pick(_BOOKS),
            trader=f"TR{1 + below(12):02d}",
            algo=pick(_ALGORITHMS),
            side=side,
            isin=instrument.isin,
            quantity=str(1 + int(self._rng.lognormvariate(4.5, 1.2))),
            price=f"{self._prices[rank] * (0.97 + 0.06 * self._rng.random()):.4f}",
            price_ccy=instrument.currency,
            venue=instrument.mic if on_venue else OFF_VENUE,
            venue_tx_id=f"V{below(10**11):011d}" if on_venue else "",
            counterparty=pick(self._counterparties),
            client=pick(self._clients) if capacity == "AOTC" else "",
            capacity=capacity,
            short_sale=pick(_SHORT_SALES) if capacity != "AOTC" and (side == "S" or below(40) == 0) else "",
            settlement_date=settles,
        )

    def _times(self) -> tuple[str, str, str]:
        midnight, settles = self._days[self._below(_WORKING_DAYS)]
        executed = midnight + _OPENS + timedelta(microseconds=self._below(_SECONDS_OPEN * _MICROSECONDS))
        booked = executed.replace(microsecond=0) + timedelta(seconds=60 + self._below(5_000))
        return f"{executed.isoformat(timespec='microseconds')}Z", f"{booked.isoformat()}Z", settles

    def _below(self, count: int) -> int:
        return int(self._rng.random() * count)

    def _pick(self, values: Sequence[str]) -> str:
        return values[int(self._rng.random() * len(values))]


def _days(monday: date) -> list[tuple[datetime, str]]:
    """Return midnight and settlement date (two working days later) of each day of the week."""
    midnights = [datetime.combine(monday, datetime.min.time()) + timedelta(days=day) for day in range(_WORKING_DAYS)]
    return [
        (midnight, (midnight.date() + timedelta(days=2 + (2 if day + 2 >= _WORKING_DAYS else 0))).isoformat())
        for day, midnight in enumerate(midnights)
    ]
