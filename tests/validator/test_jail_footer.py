"""What a file says of its values spares work, and never changes a verdict."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from libs.common.jail import JobServer
from libs.common.vocabulary.schemas import SchemaSpec
from services.validator.jail.broker import Request, validate
from services.validator.jail.footer import Footer
from services.validator.plan import Plan, Subject, build_plan
from tests.validator.judging import MOMENT, rule

SCHEMA = SchemaSpec.model_validate(
    {
        "fields": [
            {"name": "id", "type": "text", "required": True, "max_length": 4},
            {"name": "ccy", "type": "text"},
            {"name": "booked", "type": "date", "required": True},
            {"name": "sent", "type": "timestamp"},
        ]
    }
)
TYPES = {"id": "VARCHAR", "ccy": "VARCHAR", "booked": "DATE", "sent": "TIMESTAMP WITH TIME ZONE"}
RULES = [
    rule("known", "ccy in ('EUR', 'USD')"),
    rule("any", "ccy is null or length(ccy) == 3", severity="warning"),
    rule("strict", {"kind": "expression", "expression": "ccy != 'GBP'", "on_unknown": "fail"}),
    rule("late", "year(sent) <= year(booked)"),
    rule("fixed", "ccy != 'DEM'", severity="correctable", fix={"field": "ccy", "expression": "'EUR'"}),
    rule("once", {"kind": "unique", "fields": ["ccy", "booked"]}),
    rule("asked", {"kind": "sql", "sql": "SELECT _ordinal FROM records WHERE ccy IS NULL OR sent IS NULL"}),
]
TODAY, NOW = date(2026, 11, 20), datetime(2026, 11, 20, 9, tzinfo=UTC)
SOUND = [("A1", "EUR", TODAY, NOW), ("A2", "DEM", TODAY, None), ("A3", None, None, NOW), ("A4567", "GBP", TODAY, NOW)]
YEAR_10000, YEAR_0 = 2_932_897, -719_529
"""Days since 1970, just outside of what Python and the language have."""


def table(rows: list[tuple[Any, ...]], days: list[int | None] | None = None) -> pa.Table:
    ids, currencies, booked, sent = (list(column) for column in zip(*rows, strict=True))
    dates = pa.array(booked, pa.date32()) if days is None else pa.array(days, pa.int32()).cast(pa.date32())
    return pa.table(
        {
            "_ordinal": pa.array(range(1, len(rows) + 1), pa.int64()),
            "id": pa.array(ids, pa.string()),
            "ccy": pa.array(currencies, pa.string()),
            "booked": dates,
            "sent": pa.array(sent, pa.timestamp("us", "UTC")),
        }
    )


TABLES = {
    "sound": table(SOUND),
    "an empty id": table([*SOUND, ("", "EUR", TODAY, NOW)]),
    "an empty currency": table([*SOUND, ("A5", "", TODAY, NOW)]),
    "a day too late": table(SOUND, [1, 2, None, YEAR_10000]),
    "a day too early": table(SOUND, [YEAR_0, 2, None, 1]),
    "nothing given": table([(None, None, None, None)] * 3),
    "no records": table(SOUND).slice(0, 0),
}


def planned() -> Plan:
    return build_plan(Subject(source=SCHEMA, column_types=TYPES, business_key=("id",)), RULES, {}, MOMENT)


async def judged(jail: JobServer, folder: Path, data: pa.Table, **how: Any) -> tuple[Any, ...]:
    """Return counts and tables of a validation of `data`, written as `how` says."""
    pq.write_table(data, folder / "data.parquet", row_group_size=2, **how)
    outcome = await validate(jail, Request(planned(), folder / "data.parquet", folder, measure=True))
    assert outcome.errored == ()
    return outcome, *(pq.read_table(folder / f"{name}.parquet").to_pylist() for name in ("failures", "corrections"))


@pytest.mark.parametrize("name", TABLES)
async def test_verdicts_need_no_statistics(jail: JobServer, tmp_path: Path, name: str) -> None:
    """A file that tells of its values is judged as one that does not: counts, failures, corrections, measures."""
    told = await judged(jail, tmp_path, TABLES[name])
    assert told == await judged(jail, tmp_path, TABLES[name], write_statistics=False)
    assert told[0].rows == TABLES[name].num_rows
    assert bool(told[1]) == (told[0].rows > 0)


@pytest.mark.parametrize(
    ("name", "sound"),
    [
        ("sound", {"id", "ccy", "booked", "sent"}),
        ("an empty id", {"ccy", "booked", "sent"}),
        ("an empty currency", {"id", "booked", "sent"}),
        ("a day too late", {"id", "ccy", "sent"}),
        ("a day too early", {"id", "ccy", "sent"}),
        ("nothing given", set()),
        ("no records", set()),
    ],
)
def test_sound_columns_are_told_by_every_row_group(tmp_path: Path, name: str, sound: set[str]) -> None:
    """One value in one row group that its type is not for, or nothing to go by: the column is not sound."""
    pq.write_table(TABLES[name], tmp_path / "data.parquet", row_group_size=4)
    assert Footer(str(tmp_path / "data.parquet")).sound(frozenset({*TYPES, "other"})) == sound
    pq.write_table(TABLES[name], tmp_path / "data.parquet", write_statistics=False)
    assert Footer(str(tmp_path / "data.parquet")).sound(frozenset(TYPES)) == set()


def test_a_sound_column_is_read_as_it_is() -> None:
    """Nothing is asked of each record that the file has answered for all."""
    plan = planned()
    read = " ".join(plan.where_sound(plan.stored.keys()).columns)
    assert "nullif" in " ".join(plan.columns)
    assert "nullif" not in read
    assert "BETWEEN" not in read
    assert plan.where_sound(()) == plan
