"""A broker's blotter as plain rows, read from its CSV files; no library of the product takes part."""

import csv
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

Row = dict[str, str]


@dataclass(frozen=True, slots=True)
class Blotter:
    """Trades in source order (the row at ordinal n is `trades[n - 1]`) and what they refer to."""

    trades: list[Row]
    instruments: list[Row]
    counterparties: list[Row]
    clients: list[Row]
    firm_lei: str

    def on(self, day: date) -> "Blotter":
        """Return the blotter with only those counterparties that are valid on `day`."""
        text = day.isoformat()
        valid = [
            row
            for row in self.counterparties
            if (row.get("valid_from") or text) <= text <= (row.get("valid_to") or text)
        ]
        return replace(self, counterparties=valid)


@dataclass(frozen=True, slots=True)
class Answer:
    """One known defect: the row at `ordinal` is spoilt in this way."""

    ordinal: int
    kind: str


def read(folder: Path) -> Blotter:
    """Read the CSV files of a blotter."""
    names = ("trades", "instruments", "counterparties", "clients")
    tables = {name: _rows(folder / f"{name}.csv") for name in names}
    return Blotter(**tables, firm_lei=(folder / "firm.txt").read_text(encoding="utf-8").strip())


def answer_key(folder: Path, blotter: Blotter) -> list[Answer]:
    """Read `defects.csv` (defects by trade id) and find the row that each means.

    Of rows that repeat a report, the later one is the defect.
    """
    ordinals = {row["trade_id"]: ordinal for ordinal, row in enumerate(blotter.trades, start=1)}
    return sorted(
        (Answer(ordinals[line["trade_id"]], line["defect"]) for line in _rows(folder / "defects.csv")),
        key=lambda answer: answer.ordinal,
    )


def _rows(path: Path) -> list[Row]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
