"""The lookup tables, built from the broker's master data."""

from collections.abc import Callable, Iterable, Mapping
from datetime import date

from examples.broker_week.parties import Client, concat_id
from libs.common.vocabulary.mappings import MappingEntry, MappingSpec

Row = Mapping[str, str]


def instruments(rows: Iterable[Row]) -> MappingSpec:
    """Map an ISIN to name, classification, currency and venue."""
    return _mapping(rows, "isin", ("name", "cfi", "currency", "mic"))


def counterparties(rows: Iterable[Row]) -> MappingSpec:
    """Map a counterparty's code to its LEI, name and country."""
    return _mapping(rows, "code", ("lei", "name", "country"))


def clients(rows: Iterable[Row]) -> MappingSpec:
    """Map a client's code to what a report says of a person, with the CONCAT identifier."""
    columns = ("first_name", "last_name", "birth_date", "nationality")
    return _mapping(
        rows, "code", columns, {"concat_id": lambda row: concat_id(Client(**{c: row[c] for c in Client._fields}))}
    )


def venues(rows: Iterable[Row], member_country: str) -> MappingSpec:
    """Map the venue of each instrument to the country of the branch that is its member."""
    mics = sorted({row["mic"] for row in rows})
    return MappingSpec(
        columns=("member_country",),
        entries=tuple(MappingEntry(key=mic, values={"member_country": member_country}) for mic in mics),
    )


def _mapping(
    rows: Iterable[Row], key: str, columns: tuple[str, ...], derived: Mapping[str, Callable[[Row], str]] | None = None
) -> MappingSpec:
    derived = derived or {}
    return MappingSpec(
        columns=(*columns, *derived),
        entries=tuple(
            MappingEntry(
                key=row[key],
                values={name: row[name] for name in columns} | {name: make(row) for name, make in derived.items()},
                valid_from=_day(row.get("valid_from")),
                valid_to=_day(row.get("valid_to")),
            )
            for row in rows
        ),
    )


def _day(text: str | None) -> date | None:
    return date.fromisoformat(text) if text else None
