"""The week as a whole: good trades, and among them a known number of every defect, with the answer key."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from examples.broker_week import parties
from examples.broker_week.defects import DEFECTS, DUPLICATE, ORPHAN, Defect
from examples.broker_week.trades import Desk, Trade

MONDAY = date(2026, 3, 2)
_LEAST_ROWS = 200


class Answer(NamedTuple):
    """One line of the answer key: the row at `ordinal` (1-based, source order) has this defect."""

    ordinal: int
    trade_id: str
    version: str
    action: str
    defect: str
    field: str


@dataclass(frozen=True, slots=True)
class Plan:
    """How many rows of which sort make `rows` in all: `each` of every defect, corrected and cancelled good trades."""

    rows: int
    each: int
    corrected: int
    cancelled: int

    @property
    def originals(self) -> int:
        """The number of new trades; the other rows refer to them, except `each` orphans."""
        return self.rows - 2 * self.each - 2 * self.corrected - self.cancelled


@dataclass(frozen=True, slots=True)
class Week:
    """A broker's week: who there is, and the trades."""

    seed: int
    plan: Plan
    monday: date
    instruments: Sequence[parties.Instrument]
    counterparties: Sequence[parties.Counterparty]
    clients: Sequence[parties.Client]

    def trades(self, answers: list[Answer] | None = None) -> Iterator[Trade]:
        """Yield the rows in source order, without holding them; `answers` receives the answer key."""
        marks = _Marks.draw(self.plan, self.seed)
        key = [] if answers is None else answers
        desk = Desk(self.seed, self.monday, self.instruments, self.counterparties[:-1], self.clients)
        kept: dict[int, Trade] = {}
        for ordinal, trade in enumerate(desk.trades(self.plan.originals), start=1):
            if ordinal in marks.kept:
                kept[ordinal] = trade
            yield marks.spoil(ordinal, trade, key)
        yield from _later_rows(marks, kept, self.plan.originals, key)


class _Marks:
    """Which originals are spoilt, repeated, cancelled, corrected, or the pattern of an orphaned cancellation."""

    def __init__(self, pending: list[Defect], groups: dict[str, list[int]], start: list[int]) -> None:
        self._pending = pending
        self._start = iter(start)
        self._next = next(self._start, None)
        self.groups = groups
        self.kept = frozenset(ordinal for group in groups.values() for ordinal in group)

    @classmethod
    def draw(cls, plan: Plan, seed: int) -> "_Marks":
        """Draw disjoint originals for all purposes; each defect waits at its place for a row that it can befall."""
        rng = random.Random(f"marks {seed}")
        pending = [defect for defect in DEFECTS for _ in range(plan.each)]
        rng.shuffle(pending)
        sizes = {"repeat": plan.each, "orphan": plan.each, "cancel": plan.cancelled, "correct": plan.corrected}
        drawn = rng.sample(range(1, plan.originals + 1), sum(sizes.values()))
        groups = {name: sorted(drawn.pop() for _ in range(size)) for name, size in sizes.items()}
        latest = plan.originals * 4 // 5
        return cls(pending, groups, sorted(rng.randrange(1, latest) for _ in pending))

    def spoil(self, ordinal: int, trade: Trade, key: list[Answer]) -> Trade:
        """Return the trade, spoilt if a defect is due that can befall it."""
        if self._next is None or ordinal < self._next or ordinal in self.kept:
            return trade
        defect = next((defect for defect in self._pending if defect.befalls(trade)), None)
        if defect is None:
            return trade
        self._pending.remove(defect)
        self._next = next(self._start, None)
        key.append(Answer(ordinal, trade.trade_id, trade.version, trade.action, defect.kind, defect.field))
        return trade._replace(**{defect.field: defect.spoil(trade)})


def _later_rows(marks: _Marks, kept: dict[int, Trade], ordinal: int, key: list[Answer]) -> Iterator[Trade]:
    for original in marks.groups["cancel"] + marks.groups["correct"]:
        yield kept[original]._replace(action="CANCEL")
    for original in marks.groups["correct"]:
        trade = kept[original]
        yield trade._replace(version="2", quantity=str(int(trade.quantity) + 10))
    ordinal += len(marks.groups["cancel"]) + 2 * len(marks.groups["correct"])
    for row, kind in _bad_later_rows(marks, kept):
        ordinal += 1
        key.append(Answer(ordinal, row.trade_id, row.version, row.action, kind, "trade_id"))
        yield row


def _bad_later_rows(marks: _Marks, kept: dict[int, Trade]) -> Iterator[tuple[Trade, str]]:
    for original in marks.groups["repeat"]:
        yield kept[original], DUPLICATE
    for number, original in enumerate(marks.groups["orphan"]):
        yield kept[original]._replace(trade_id=f"X{number:08d}", action="CANCEL"), ORPHAN


def week(rows: int = 5_000, seed: int = 20260302, monday: date = MONDAY) -> Week:
    """Plan a week of exactly `rows` rows with `rows // 1000` defects (at least one) of every kind.

    Raises ValueError if the rows are too few to hold every kind.
    """
    if rows < _LEAST_ROWS:
        raise ValueError(f"a week has at least {_LEAST_ROWS} rows, not {rows}")
    each = max(1, rows // 1000)
    plan = Plan(rows, each, corrected=3 * each, cancelled=2 * each)
    return Week(seed, plan, monday, parties.instruments(), parties.counterparties(seed), parties.clients(seed))
