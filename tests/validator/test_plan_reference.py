"""Random data judged twice: by the engine and, record by record, by plain Python."""

import random
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest

from libs.common.jail import JobServer
from tests.validator.judging import Record, judge, mapping, record, rule

RULES = [
    rule("positive", "price > 0"),
    rule("small", {"kind": "expression", "expression": "price < 50", "on_unknown": "fail"}, severity="warning"),
    rule("either", "price > 20 or version == 1"),
    rule("both", "ccy in ('EUR', 'USD') and version < 3"),
    rule("unique", {"kind": "unique", "fields": ["trade_id", "version", "action"]}),
    rule("known", {"kind": "reference", "field": "venue", "mapping": "venues"}, mappings=mapping()),
    rule(
        "order",
        {"kind": "sequence", "fields": ["trade_id"], "when": "action == 'CANC'", "requires": "action == 'NEWT'"},
    ),
]

Three = bool | None


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_engine_and_plain_python_agree(jail: JobServer, tmp_path: Path, seed: int) -> None:
    """On 3,000 random records both name the same failing records and count the same outcomes."""
    records = _records(random.Random(seed), 3000)  # noqa: S311 - reproducible data
    judged = await judge(jail, tmp_path, RULES, records)
    expected = _expected(records)
    found = Counter((one["_ordinal"], one["rule_id"], one["outcome"]) for one in judged.failures)
    assert {key for key in found if not key[1].startswith("schema:")} == expected
    assert max(found.values()) == 1
    for name, function in _CONDITIONS.items():
        counts = Counter(function(one) for one in records)
        tally = judged.rule(name)
        assert (tally.passed, tally.failed, tally.unknown) == (counts[True], counts[False], counts[None]), name


def _records(chance: random.Random, count: int) -> list[Record]:
    return [
        record(
            trade_id=f"T{chance.randrange(count // 2)}",
            version=chance.choice(["1", "2", "3", None, "x"]),
            price=chance.choice([None, "", "abc", f"{chance.uniform(-10, 60):.4f}"]),
            ccy=chance.choice(["EUR", "USD", "GBP", None]),
            venue=chance.choice(["X", "Y", "Z", None, ""]),
            action=chance.choice(["NEWT", "CANC", "AMND"]),
        )
        for _ in range(count)
    ]


def _price(one: Record) -> Decimal | None:
    text = one["price"]
    return Decimal(text) if text and text != "abc" else None


def _version(one: Record) -> int | None:
    text = one["version"]
    return int(text) if text and text.isdigit() else None


def _or(left: Three, right: Three) -> Three:
    if left or right:
        return True
    return None if left is None or right is None else False


def _and(left: Three, right: Three) -> Three:
    if left is False or right is False:
        return False
    return None if left is None or right is None else True


def _if_known(value: object, result: bool) -> Three:  # noqa: FBT001
    return None if value is None else result


_CONDITIONS = {
    "positive": lambda one: _if_known(_price(one), (_price(one) or 0) > 0),
    "small": lambda one: _if_known(_price(one), (_price(one) or 0) < 50),
    "either": lambda one: _or(
        _if_known(_price(one), (_price(one) or 0) > 20), _if_known(_version(one), _version(one) == 1)
    ),
    "both": lambda one: _and(
        _if_known(one["ccy"], one["ccy"] in ("EUR", "USD")), _if_known(_version(one), (_version(one) or 0) < 3)
    ),
    "known": lambda one: not one["venue"] or one["venue"] in "XY",
}


def _expected(records: list[Record]) -> set[tuple[int, str, str]]:
    found: set[tuple[int, str, str]] = set()
    seen: set[tuple[str | None, ...]] = set()
    originals = {one["trade_id"] for one in records if one["action"] == "NEWT"}
    for ordinal, one in enumerate(records, start=1):
        found |= {(ordinal, name, "fail") for name, holds in _CONDITIONS.items() if holds(one) is False}
        if _CONDITIONS["small"](one) is None:
            found.add((ordinal, "small", "unknown"))
        key = (one["trade_id"], one["version"], one["action"])
        if key in seen:
            found.add((ordinal, "unique", "fail"))
        seen.add(key)
        if one["action"] == "CANC" and one["trade_id"] not in originals:
            found.add((ordinal, "order", "fail"))
    return found
