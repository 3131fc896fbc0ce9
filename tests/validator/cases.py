"""Random data as extracts store it, and random rules of every kind over it."""

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from libs.common.vocabulary.mappings import MappingEntry, MappingSpec
from libs.common.vocabulary.rules import RuleSpec
from libs.common.vocabulary.schemas import SchemaField, SchemaSpec
from services.validator.domain import rule_problems
from services.validator.plan import ResolvedRule
from tests.expressions.making import ODD, ODDER, Maker
from tests.expressions.test_differential import MOMENT, SCHEMA
from tests.validator.judging import VENUES
from tests.validator.plain_sets import QUERIES
from tests.validator.plain_values import Cell, Record, cell

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DIGITS = ((28, 10), (18, 4), (38, 10), (38, 0), (3, 3), (5, 2), (10, 0), (20, 18))
DAYS = (0, -719_162, 2_932_896, 19_782, 20_157, -141_427, -719_163, 2_932_897, 2**31 - 1, -(2**31) + 1)
"""Since 1970: the first and last day of the calendar, leap days, and days outside of it."""
OUTSIDE = {2_932_897: "10000-01-01", 2**31 - 1: "infinity", -(2**31) + 1: "-infinity"}
"""What such days are called, where a text of a file could be the same."""
INTEGERS = (0, 1, -1, 7, -12, 10**18, 2**63 - 1, -(2**63))
DAY = MOMENT.business_date
MAPPING = MappingSpec(
    columns=("lei", "country"),
    entries=(
        MappingEntry(key="CP1", values={"lei": "old"}, valid_to=DAY - timedelta(1)),
        MappingEntry(key="CP1", values={"lei": "LEI1", "country": "DE"}, valid_from=DAY, valid_to=DAY),
        MappingEntry(key="CP1", values={"lei": "new"}, valid_from=DAY + timedelta(1)),
        MappingEntry(key="LEI1", values={"lei": "deep", "country": None}, valid_from=DAY - timedelta(9)),
        MappingEntry(key="DE", values={"lei": ""}, valid_to=DAY - timedelta(1)),
        MappingEntry(key="EUR", valid_from=DAY + timedelta(1)),
        *(MappingEntry(key=key) for key in ("7", "-12", "1.5", "0.5000", "0.500", "2024-02-29", "true", "e\u0301")),
    ),
)


@dataclass
class Made:
    """One random case: a schema, stored columns of this extract and the previous one, and rules."""

    schema: SchemaSpec
    columns: dict[str, pa.Array]
    previous: dict[str, pa.Array] | None
    rules: list[ResolvedRule] = field(default_factory=list)


def make(seed: int) -> Made:
    """Return the case of a seed."""
    maker = Maker(seed)
    schema = _schema(maker.dice)
    columns = _columns(maker.dice, schema, maker.dice.randint(0, 25))
    previous = _columns(maker.dice, schema, maker.dice.randint(0, 15)) if maker.dice.random() < 0.6 else None
    if previous and maker.dice.random() < 0.3:
        previous.pop(maker.dice.choice(sorted(previous)))
    return Made(schema, columns, previous, _rules(maker, schema))


def write(columns: dict[str, pa.Array], path: Path, seed: int, *, statistics: bool) -> None:
    """Write stored columns with their ordinals, in row groups of a random size."""
    rows = len(next(iter(columns.values())))
    table = pa.table({"_ordinal": pa.array(range(1, rows + 1), pa.int64()), **columns})
    size = random.Random(seed).randint(1, 30)  # noqa: S311 - for variety, not for secrets
    pq.write_table(table, path, row_group_size=size, write_statistics=statistics, compression="zstd")


def records(schema: SchemaSpec, columns: dict[str, pa.Array]) -> list[Record]:
    """Return what is stored as the slow judge sees it."""
    cells = {
        one.name: [_cell(value, one) for value in columns[one.name]] if one.name in columns else None
        for one in schema.fields
    }
    rows = len(next(iter(columns.values())))
    return [
        Record(place + 1, {name: known[place] if known else Cell(None, None) for name, known in cells.items()})
        for place in range(rows)
    ]


def _cell(value: Any, one: SchemaField) -> Cell:
    """Days and instants that Python does not know are outside of the calendar of the language too."""
    try:
        return cell(value.as_py(), one)
    except (ValueError, OverflowError):
        place = value.cast(pa.int32() if pa.types.is_date(value.type) else pa.int64()).as_py()
        return Cell(OUTSIDE.get(place, f"outside {place}"), None, sound=False)


def _schema(dice: random.Random) -> SchemaSpec:
    def changed(one: SchemaField) -> SchemaField:
        change: dict[str, Any] = {"required": dice.random() < 0.2}
        if one.type == "decimal" and dice.random() < 0.5:
            change["precision"], change["scale"] = dice.choice(DIGITS)
        if one.type == "text" and dice.random() < 0.3:
            change["max_length"] = dice.choice((1, 3, 12, 20))
        return one.model_copy(update=change)

    return SchemaSpec(fields=tuple(changed(one) for one in SCHEMA.fields))


def _columns(dice: random.Random, schema: SchemaSpec, rows: int) -> dict[str, pa.Array]:
    return {one.name: _column(dice, one, rows) for one in schema.fields}


def _column(dice: random.Random, one: SchemaField, rows: int) -> pa.Array:
    """Return a column of few different values, so that records meet each other."""
    chance = dice.random()
    kind = "text" if chance < 0.5 else one.type if chance < 0.95 else dice.choice(tuple(_STORED))
    pool = [*(_STORED[kind](dice, one) for _ in range(dice.randint(1, 5))), *[None] * dice.randint(0, 1)]
    values = [dice.choice(pool) for _ in range(rows)]
    if kind == "decimal":
        alike = one.type == "decimal" and dice.random() < 0.8
        precision, scale = (one.precision, one.scale) if alike else dice.choice(DIGITS)
        most = 10 ** dice.randint(1, precision)
        known = [None if value is None else Decimal(int(value * most)).scaleb(-scale) for value in values]
        return pa.array(known, pa.decimal128(precision, scale))
    if kind == "date":
        same = one.type == "date"
        return pa.array([v if same or v is None else v % 9999 for v in values], pa.int32()).cast(pa.date32())
    if kind == "timestamp":
        same = one.type == "timestamp"
        known = [v if same or v is None else v % 10**15 for v in values]
        return pa.array(known, pa.int64()).cast(pa.timestamp("us", "UTC" if same or dice.random() < 0.5 else None))
    return pa.array(values, {"text": pa.string(), "integer": pa.int64(), "boolean": pa.bool_()}[kind])


def _text(dice: random.Random, one: SchemaField) -> str:
    kind = "ident" if one.name == "ident" else one.type
    if one.type in ("integer", "decimal") and dice.random() < 0.4:
        return str(dice.randint(-50, 50)) if one.type == "integer" else f"{dice.randint(-5000, 5000) / 100:.2f}"
    return dice.choice(("", *ODD[kind], *ODDER[kind])) if dice.random() < 0.9 else dice.choice(ODDER["text"])


def _instant(dice: random.Random, _: SchemaField) -> int:
    """Microseconds since 1970: round, odd, at and beyond both ends of the calendar."""
    at = dice.choice(
        ("2024-02-29T00:00:00Z", "2025-03-10T23:30:00.12Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z")
    )
    if dice.random() < 0.1:
        return dice.choice((2**63 - 1, -(2**63) + 1, 2**62))
    micros = (datetime.fromisoformat(at) - EPOCH) // timedelta(microseconds=1)
    return micros + dice.choice((0, 0, 1, -1, 10**9))


_STORED: dict[str, Any] = {
    "text": _text,
    "integer": lambda dice, _: dice.choice((*INTEGERS, dice.randint(-50, 50))),
    "decimal": lambda dice, _: dice.choice((0, 1, -1, dice.randint(-9999, 9999))) / Decimal(10_000),
    "boolean": lambda dice, _: dice.random() < 0.5,
    "date": lambda dice, _: dice.choice(DAYS),
    "timestamp": _instant,
}


def _rules(maker: Maker, schema: SchemaSpec) -> list[ResolvedRule]:
    found = []
    checks = [(check, None) for check in _checks(maker, schema)] + [
        _fix(maker, schema) for _ in range(maker.dice.randint(0, 3))
    ]
    maker.dice.shuffle(checks)
    for number, (check, fix) in enumerate(checks):
        severity = "correctable" if fix else maker.dice.choice(("blocking", "warning"))
        body = {"schema_id": str(VENUES), "check": check, "fix": fix, "severity": severity, "mappings": {"cp": VENUES}}
        spec = RuleSpec.model_validate(body)
        if not rule_problems(spec, schema, {"cp": MAPPING}):
            found.append(ResolvedRule(id=f"r{(number * 7) % 23:02}", version=1, spec=spec))
    return found


def _fix(maker: Maker, schema: SchemaSpec) -> tuple[dict[str, Any], dict[str, Any]]:
    one = maker.dice.choice(
        [
            one
            for one in schema.fields
            if one.name in ("code", "other", "quantity", "price", "traded", "done_at", "active")
        ]
    )
    kind = "number" if one.type == "decimal" else one.type
    way = maker.dice.choice(("pass", "fail"))
    value = maker.make(kind, 2) if maker.dice.random() < 0.7 else f"coalesce({one.name}, {maker.make(kind, 1)})"
    condition = maker.dice.choice(
        (f"{one.name} is not null", maker.make("boolean", 2), f"{one.name} == {maker.make(kind, 1)}")
    )
    return {"kind": "expression", "expression": condition, "on_unknown": way}, {"field": one.name, "expression": value}


def _checks(maker: Maker, schema: SchemaSpec) -> list[dict[str, Any]]:
    dice = maker.dice
    names = [one.name for one in schema.fields]
    way = lambda: dice.choice(("pass", "fail"))  # noqa: E731
    return [
        *({"kind": "expression", "expression": maker.make("boolean", dice.randint(1, 3)), "on_unknown": way()} for _ in range(5)),
        {"kind": "unique", "fields": dice.sample(names, dice.randint(1, 3))},
        *({"kind": "reference", "field": name, "mapping": "cp"} for name in dice.sample(names, 2)),
        {"kind": "sequence", "fields": dice.sample(names, dice.randint(1, 2)), "when": maker.make("boolean", 2), "requires": maker.make("boolean", 2)},
        *(_aggregate(maker, names, way()) for _ in range(3)),
        {"kind": "sql", "sql": dice.choice(tuple(QUERIES)).replace("field", dice.choice(names))},
        *({"kind": "history", "key": dice.sample(names, dice.randint(1, 2)), "condition": _changed(maker), "on_unknown": way()} for _ in range(2)),
    ]  # fmt: skip


def _changed(maker: Maker) -> str:
    name = maker.dice.choice([one.name for one in SCHEMA.fields])
    same = f"{name} == previous_{name}"
    return maker.dice.choice(
        (
            same,
            f"previous_exists and ({same})",
            f"previous_{name} is null or {maker.make('boolean', 1)}",
            f"not previous_exists or not {same}",
        )
    )


def _aggregate(maker: Maker, names: list[str], way: str) -> dict[str, Any]:
    dice = maker.dice

    def measure(function: str, **more: Any) -> dict[str, Any]:
        where = {"where": maker.make("boolean", 1)} if dice.random() < 0.4 else {}
        of = {"of": "previous"} if dice.random() < 0.3 else {}
        return {"function": function, **more, **where, **of}

    number = lambda: dice.choice(("quantity", "price", "amount", "lots", maker.make("number", 1)))  # noqa: E731
    measures = {
        "n": measure("count"),
        "many": measure("count_distinct", value=dice.choice((number(), maker.make("text", 1), "traded", "done_at", "active"))),
        "total": measure("sum", value=number()),
        "least": measure("min", value=number()),
        "most": measure("max", value=number()),
        "mean": measure("avg", value=number()),
        "gone": {"function": "missing", "of": "previous", "fields": dice.sample(names, 1)},
        "lost": {"function": "missing_keys", "of": "previous", "fields": [dice.choice(("code", "ident", "quantity", "price"))]},
        "word": measure(dice.choice(("min", "max")), value=maker.make("text", 1)),
    }  # fmt: skip
    first, second = dice.sample(("n", "many", "total", "least", "most", "mean", "gone"), 2)
    sign = dice.choice(("<", "<=", "==", "!=", ">"))
    conditions = (
        f"{first} {sign} {second}", f"{first} {sign} {dice.randint(-3, 9)}", f"{first} {sign} 2 or {second} {sign} 0.5",
        f"{first} is null", f"not ({first} {sign} {second})", "lost == ''", f"word {sign} 'E'", f"between({first}, 0, {second})",
    )  # fmt: skip
    condition = dice.choice(conditions)
    used = {name: one for name, one in measures.items() if name in condition} or {"n": measures["n"]}
    return {
        "kind": "aggregate",
        "group_by": dice.sample(names, dice.randint(0, 2)),
        "measures": used,
        "condition": condition,
        "on_unknown": way,
        "fails": dice.choice(("group", "first")),
    }
