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
        self._monday = monday
        self._instruments = self._rng.sample(instruments, len(instruments))
        self._popularity = list(itertools.accumulate(1 / (rank + 2) for rank in range(len(instruments))))
        self._prices = [round(self._rng.lognormvariate(4, 0.8), 4) for _ in instruments]
        self._counterparties = sorted({counterparty.code for counterparty in counterparties})
        self._clients = [client.code for client in clients]

    def trades(self, count: int) -> Iterator[Trade]:
        """Yield `count` new trades with running ids."""
        return (self._trade(number) for number in range(1, count + 1))

    def _trade(self, number: int) -> Trade:
        rng = self._rng
        position = bisect.bisect(self._popularity, rng.random() * self._popularity[-1])
        instrument = self._instruments[min(position, len(self._instruments) - 1)]
        executed, booked, settles = self._times()
        capacity = rng.choices(("DEAL", "AOTC", "MTCH"), (50, 26, 24))[0]
        side = rng.choice("BS")
        on_venue = rng.random() < 0.84  # noqa: PLR2004 (the share of the week's trades done on a venue)
        return Trade(
            trade_id=f"W{number:08d}",
            version="1",
            action="NEW",
            executed_at=executed,
            booked_at=booked,
            book=rng.choice(("CASH", "PROGRAM", "FACILITATION")),
            trader=f"TR{rng.randrange(1, 13):02d}",
            algo=rng.choices(("", f"ALGO{rng.randrange(1, 5)}"), (65, 35))[0],
            side=side,
            isin=instrument.isin,
            quantity=str(max(1, int(rng.lognormvariate(4.5, 1.2)))),
            price=f"{self._prices[self._instruments.index(instrument)] * rng.uniform(0.97, 1.03):.4f}",
            price_ccy=instrument.currency,
            venue=instrument.mic if on_venue else OFF_VENUE,
            venue_tx_id=f"V{rng.randrange(10**11):011d}" if on_venue else "",
            counterparty=rng.choice(self._counterparties),
            client=rng.choice(self._clients) if capacity == "AOTC" else "",
            capacity=capacity,
            short_sale=rng.choices(("", "SESH", "SELL"), (60, 20, 20))[0] if side == "S" and capacity != "AOTC" else "",
            settlement_date=settles,
        )

    def _times(self) -> tuple[str, str, str]:
        rng = self._rng
        day = rng.randrange(_WORKING_DAYS)
        midnight = datetime.combine(self._monday + timedelta(days=day), datetime.min.time())
        executed = midnight + _OPENS + timedelta(microseconds=rng.randrange(_SECONDS_OPEN * _MICROSECONDS))
        booked = executed.replace(microsecond=0) + timedelta(seconds=rng.randrange(60, 5_000))
        over_weekend = 2 if day + 2 >= _WORKING_DAYS else 0
        settles = midnight.date() + timedelta(days=2 + over_weekend)
        return f"{executed.isoformat(timespec='microseconds')}Z", f"{booked.isoformat()}Z", settles.isoformat()
