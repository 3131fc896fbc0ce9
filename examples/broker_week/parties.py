"""Who trades: an invented firm, its invented counterparties and clients, and the real instruments they trade in.

Names are made up on purpose to look it; the identifiers are well-formed, so that only the defects fail.
"""

import csv
import random
import string
import unicodedata
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

_ALPHANUMERIC = string.digits + string.ascii_uppercase
_FIRST_NAMES = ("Aoife", "Björn", "Chloé", "Dariusz", "Elif", "François", "Inés", "Jürgen", "Łucja", "Søren", "Zoë")
_SURNAMES = ("Ångström", "van den Bosch", "Čapek", "de Vries", "García", "Müller", "O'Brien", "Ruiz-Ortega", "Żak")
_COUNTRIES = ("AT", "DE", "FR", "IE", "LU")
_HOUSES = (
    "Quillfeather Capital", "Muddy Otter Bank", "Seven Lanterns Broking", "Paper Kite Securities", "Upside Down Markets",
    "Larkspur & Daughters", "Two Left Feet Fund", "Marzipan Asset Management", "Old Umbrella Trust", "Hedgehog Row LP",
    "Tin Whistle Trading", "Blue Teapot Pension", "Windmill Sock Clearing", "Barefoot Treasury", "Nine Acorns Insurance",
    "Crooked Spoon Brokers", "Velvet Turnip Wealth", "Lost Compass Family Office", "Gingham Index Fund", "Slow Snail Holdings",
)  # fmt: skip
_PREFIXES = ("de ", "van den ")
_WITHOUT_MARK = str.maketrans({"Ł": "L", "Ø": "O", "ł": "l", "ø": "o"})


class Instrument(NamedTuple):
    """A listed share: real ISIN, name, currency and venue."""

    isin: str
    name: str
    cfi: str
    currency: str
    mic: str
    country: str


class Counterparty(NamedTuple):
    """A firm on the other side of trades, as it was in a period (days included; empty is open-ended).

    The LEI is invented; `country` is ISO 3166-1 alpha-2.
    """

    code: str
    name: str
    lei: str
    country: str
    valid_from: str = ""
    valid_to: str = ""


class Client(NamedTuple):
    """A natural person; dates and countries in ISO form."""

    code: str
    first_name: str
    last_name: str
    birth_date: str
    nationality: str


def lei_of(stem: str) -> str:
    """Complete 18 characters to an LEI by its ISO 17442 check digits (MOD 97-10)."""
    number = int("".join(str(int(character, 36)) for character in stem + "00"))
    return f"{stem}{98 - number % 97:02d}"


FIRM_LEI = lei_of("RGNT00DEMOBROKER01")


def instruments() -> list[Instrument]:
    """Read the listed shares that the example trades in."""
    with (Path(__file__).parent / "instruments.csv").open(encoding="utf-8", newline="") as file:
        return [Instrument(**row) for row in csv.DictReader(file)]


def counterparties(seed: int) -> list[Counterparty]:
    """Invent the counterparties. The first had another name and LEI until 2025; the last one's LEI is wrong."""
    rng = random.Random(f"counterparties {seed}")
    houses = [
        Counterparty(f"CP{number:03d}", name, _invented_lei(rng), rng.choice((*_COUNTRIES, "ES", "GB", "NL", "SE")))
        for number, name in enumerate(_HOUSES, start=1)
    ]
    first, *middle, last = houses
    return [
        first._replace(name="Goosefeather Capital", lei=_invented_lei(rng), valid_to="2025-12-31"),
        first._replace(valid_from="2026-01-01"),
        *middle,
        last._replace(lei=f"{last.lei[:-1]}{(int(last.lei[-1]) + 1) % 10}"),
    ]


def clients(seed: int, count: int = 60) -> list[Client]:
    """Invent the clients."""
    rng = random.Random(f"clients {seed}")
    return [
        Client(
            f"CL{number:04d}",
            rng.choice(_FIRST_NAMES),
            rng.choice(_SURNAMES),
            (date(1945, 1, 1) + timedelta(days=rng.randrange(20_000))).isoformat(),
            rng.choice(_COUNTRIES),
        )
        for number in range(1, count + 1)
    ]


def concat_id(client: Client) -> str:
    """Return the CONCAT identifier of a person (Delegated Regulation (EU) 2017/590, annex II).

    Nationality, birth date as yyyymmdd, five letters of the first name and five of the surname (without prefix, marks
    and punctuation), each padded with `#`.
    """
    return (
        f"{client.nationality}{client.birth_date.replace('-', '')}{_five(client.first_name)}{_five(client.last_name)}"
    )


def _five(name: str) -> str:
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    plain = unicodedata.normalize("NFD", name.translate(_WITHOUT_MARK)).upper()
    return "".join(letter for letter in plain if "A" <= letter <= "Z")[:5].ljust(5, "#")


def _invented_lei(rng: random.Random) -> str:
    return lei_of("XDEM00" + "".join(rng.choices(_ALPHANUMERIC, k=12)))
