"""Write the code lists from the packages iso10383, iso4217 and iso3166 (development only; not imported at run time).

Run from the repository's root: python -m libs.expressions.codes.generate
"""

import csv
from collections.abc import Iterable
from pathlib import Path

import iso3166
import iso4217
from iso10383 import MIC, Status

_HERE = Path(__file__).parent
_USER_ASSIGNED = {"XK"}


def main() -> None:
    """Write country.csv, currency.csv and mic.csv, sorted by code."""
    _write(
        "country",
        ((country.alpha2, country.name) for country in iso3166.countries if country.alpha2 not in _USER_ASSIGNED),
    )
    _write("currency", ((currency.code, currency.currency_name) for currency in iso4217.Currency))
    _write(
        "mic", ((entry.value.mic, entry.value.market_name) for entry in MIC if entry.value.status is not Status.expired)
    )


def _write(name: str, rows: Iterable[tuple[str, str]]) -> None:
    with (_HERE / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("code", "name"))
        writer.writerows(sorted(set(rows)))


if __name__ == "__main__":
    main()
