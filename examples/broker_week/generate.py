"""Write the week to CSV files or load it into a PostgreSQL database.

Run as `python -m examples.broker_week.generate --out week/`, or with `--dsn postgresql://localhost/broker`;
`--rows 1000000` makes it a large one.
"""

import argparse
import asyncio
import csv
import os
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path

from examples.broker_week import parties
from examples.broker_week.source import load_into
from examples.broker_week.trades import Trade
from examples.broker_week.week import MONDAY, Answer, Week, week


def write(week: Week, folder: Path) -> None:
    """Write the week as CSV files, the answer key (`defects.csv`) among them."""
    folder.mkdir(parents=True, exist_ok=True)
    answers: list[Answer] = []
    _write_csv(folder / "trades.csv", Trade._fields, week.trades(answers))
    _write_csv(folder / "defects.csv", Answer._fields, answers)
    _write_csv(folder / "instruments.csv", parties.Instrument._fields, week.instruments)
    _write_csv(folder / "counterparties.csv", parties.Counterparty._fields, week.counterparties)
    _write_csv(folder / "clients.csv", parties.Client._fields, week.clients)
    (folder / "firm.txt").write_text(parties.FIRM_LEI + "\n", encoding="utf-8")


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def main() -> None:
    """Generate as the command line asks; the database's password comes from PGPASSWORD."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=5_000, help="rows in the trades table (default 5000)")
    parser.add_argument("--seed", type=int, default=20260302)
    parser.add_argument("--monday", type=date.fromisoformat, default=MONDAY, help="first day of the week")
    parser.add_argument("--out", type=Path, help="write CSV files to this folder")
    parser.add_argument("--dsn", help="load into this PostgreSQL database")
    chosen = parser.parse_args()
    if not chosen.out and not chosen.dsn:
        parser.error("say where to: --out, --dsn or both")
    made = week(chosen.rows, chosen.seed, chosen.monday)
    if chosen.out:
        write(made, chosen.out)
    if chosen.dsn:
        asyncio.run(load_into(made, chosen.dsn, os.environ.get("PGPASSWORD")))


if __name__ == "__main__":
    main()
