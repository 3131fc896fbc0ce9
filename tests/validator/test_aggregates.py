"""Rules about groups of records and about the previous extract, judged by the real engine in the real jail."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from libs.common.jail import JobServer
from services.validator.jail.broker import Request, validate
from services.validator.plan import ResolvedRule, Subject, build_plan
from tests.validator.judging import (
    MAPPINGS,
    MOMENT,
    NAMES,
    SCHEMA,
    TABLES,
    Judged,
    Record,
    mapping,
    measured,
    record,
    rule,
)


def table(records: Sequence[Record], names: Sequence[str] = NAMES) -> pa.Table:
    """Return records as an extract."""
    columns: dict[str, Any] = {"_ordinal": pa.array(range(1, len(records) + 1), pa.int64())}
    return pa.table(columns | {name: pa.array([one[name] for one in records], pa.string()) for name in names})


async def judge(
    jail: JobServer,
    directory: Path,
    rules: Sequence[ResolvedRule],
    records: Sequence[Record],
    previous: pa.Table | None = None,
) -> Judged:
    """Judge records beside a previous extract."""
    data, before = directory / "data.parquet", directory / "before.parquet"
    pq.write_table(table(records), data)
    types = dict.fromkeys(NAMES, "VARCHAR")
    if previous is not None:
        pq.write_table(previous, before)
    subject = Subject(
        source=SCHEMA,
        column_types=types,
        business_key=("trade_id",),
        previous_types=None
        if previous is None
        else {name: types.get(name, "BIGINT") for name in previous.column_names},
    )
    plan = build_plan(subject, rules, TABLES, MOMENT)
    request = Request(
        plan=plan, data=data, scratch=directory, mappings=MAPPINGS, previous=None if previous is None else before
    )
    outcome = await validate(jail, request)
    return Judged(outcome, pq.read_table(directory / "failures.parquet").to_pylist(), [])


async def test_a_group_that_exceeds_its_limit_fails(jail: JobServer, tmp_path: Path) -> None:
    """All its records, with the figures in the message; the other groups pass; sums are exact."""
    check = measured(
        {"total": {"function": "sum", "value": "price"}, "n": {"function": "count"}},
        "total <= 0.3 or n > 3",
        group_by=["ccy"],
    )
    records = [record(price=price) for price in ("0.1", "0.2")]
    records += [record(ccy="USD", price=price) for price in ("0.1", "0.2001", None)]
    judged = await judge(jail, tmp_path, [rule("limit", check)], records)
    assert judged.ordinals("limit") == [3, 4, 5]
    assert judged.failures[0]["message"] == "does not hold: total <= 0.3 or n > 3 (total 0.3001, n 3)"
    assert (judged.rule("limit").passed, judged.rule("limit").failed, judged.outcome.held) == (2, 3, 3)


async def test_only_the_first_of_a_group_fails_where_that_is_said(jail: JobServer, tmp_path: Path) -> None:
    """For a warning about the whole one record suffices; a group of nulls is a group."""
    check = measured({"n": {"function": "count"}}, "n == 1", group_by=["venue"], fails="first")
    records = [record(), record(), record(venue=None), record(venue=None), record(venue="Y")]
    judged = await judge(jail, tmp_path, [rule("once", check, severity="warning")], records)
    assert judged.ordinals("once") == [1, 3]


FIGURES = [
    ({"function": "count"}, "7"),
    ({"function": "count", "where": "price > 1"}, "4"),
    ({"function": "count_distinct", "value": "ccy"}, "2"),
    ({"function": "sum", "value": "price"}, "10.0000"),
    ({"function": "sum", "value": "price * version", "where": "ccy == 'EUR'"}, "6.0000000000"),
    ({"function": "sum", "value": "version"}, "9"),
    ({"function": "min", "value": "price"}, "1.0000"),
    ({"function": "max", "value": "trade_id"}, "T2"),
    ({"function": "avg", "value": "price"}, "1.6666666667"),
    ({"function": "avg", "value": "price", "where": "version == 2 and price < 2"}, "1.5000000000"),
    ({"function": "sum", "value": "price", "where": "version > 100"}, "(empty)"),
    ({"function": "min", "value": "lookup('venues', venue, 'mic')"}, "XLON"),
    ({"function": "max", "value": "timestamp('2026-03-06T11:00:00.500+01:00')"}, "2026-03-06T10:00:00.5Z"),
    ({"function": "min", "value": "add_months(date('2024-01-31'), 1)"}, "2024-02-29"),
]


async def test_figures_are_what_they_say(jail: JobServer, tmp_path: Path) -> None:
    """Counts, sums, extremes and means over chosen records, each exact, nulls left out."""
    records = [record(price=price, version="1") for price in ("1", "1", "2", "2", None)]
    records += [record(price="1.5", ccy="USD", version="2"), record(price="2.5", trade_id="T2", ccy="USD", version="2")]
    rules = [
        rule(f"f{n}", measured({"figure": one}, "false", fails="first"), message="{figure}", mappings=mapping())
        for n, (one, _) in enumerate(FIGURES)
    ]
    judged = await judge(jail, tmp_path, rules, records)
    told = {failure["rule_id"]: failure["message"] for failure in judged.failures}
    assert [told[f"f{n}"] for n in range(len(FIGURES))] == [shown for _, shown in FIGURES]


BEFORE = [record(trade_id=f"T{n}", price="10.0000") for n in range(10)]


async def test_fewer_records_than_last_time(jail: JobServer, tmp_path: Path) -> None:
    """A deviation in percent from the previous extract; without one it is unknown, which passes or fails as said."""
    measures = {"now": {"function": "count"}, "before": {"function": "count", "of": "previous"}}
    within = measured(measures, "abs(now - before) * 100 <= 10 * before", fails="first")
    strict = {**within, "on_unknown": "fail"}
    rules = [rule("within", within), rule("strict", strict)]
    for count, failing in ((9, []), (8, [1]), (11, []), (12, [1])):
        records = [record(trade_id=f"T{n}") for n in range(count)]
        judged = await judge(jail, tmp_path, rules, records, table(BEFORE))
        assert judged.ordinals("within") == judged.ordinals("strict") == failing
    judged = await judge(jail, tmp_path, rules, [record()])
    assert (judged.ordinals("within"), judged.ordinals("strict")) == ([], [1])
    assert (judged.rule("within").unknown, judged.rule("strict").unknown) == (1, 1)
    assert [one["outcome"] for one in judged.failures] == ["unknown"]


async def test_a_total_that_jumps(jail: JobServer, tmp_path: Path) -> None:
    """A sum by group against the same group's sum before; a group that was not there is unknown."""
    measures = {
        "total": {"function": "sum", "value": "price"},
        "was": {"function": "sum", "value": "price", "of": "previous"},
    }
    check = measured(measures, "total <= was * 1.5", group_by=["ccy"])
    records = [record(price="100"), record(price="50"), record(price="1", ccy="USD")]
    judged = await judge(jail, tmp_path, [rule("jump", check)], records, table(BEFORE))
    assert (judged.ordinals("jump"), judged.rule("jump").unknown) == ([], 1)
    judged = await judge(jail, tmp_path, [rule("jump", check)], [*records, record(price="0.01")], table(BEFORE))
    assert judged.ordinals("jump") == [1, 2, 4]


async def test_keys_that_are_missing_are_named(jail: JobServer, tmp_path: Path) -> None:
    """What was there last time and is not now is counted and told by key."""
    measures = {
        "gone": {"function": "missing", "of": "previous", "fields": ["trade_id"]},
        "names": {"function": "missing_keys", "of": "previous", "fields": ["trade_id"]},
    }
    check = measured(measures, "gone == 0", fails="first")
    lost = rule("lost", check, severity="warning", message="{gone} gone: {names}")
    judged = await judge(jail, tmp_path, [lost], BEFORE[:7], table(BEFORE))
    assert [one["message"] for one in judged.failures] == ["3 gone: T7, T8, T9"]
    judged = await judge(jail, tmp_path, [lost], BEFORE, table(BEFORE))
    assert judged.rule("lost").passed == len(BEFORE)
    judged = await judge(jail, tmp_path, [lost], BEFORE[:7])
    assert judged.rule("lost").unknown == 1


async def test_a_missing_key_keeps_the_place_of_what_is_null(jail: JobServer, tmp_path: Path) -> None:
    """The first of two parts and the second are told apart, as in a record's own key."""
    measures = {"names": {"function": "missing_keys", "of": "previous", "fields": ["ccy", "venue"]}}
    check = measured(measures, "names == ''", fails="first")
    before = table([record(ccy="X", venue=None), record(ccy=None, venue="X"), record(ccy="Y")])
    [failure] = (
        await judge(jail, tmp_path, [rule("lost", check, message="{names}")], [record(ccy="Y")], before)
    ).failures
    assert failure["message"] == "X|, |X"


async def test_a_value_that_changed(jail: JobServer, tmp_path: Path) -> None:
    """Each record beside the one with its key; new keys and a field that the extract had not yet are unknown."""
    check = {"kind": "history", "key": ["trade_id"], "condition": "price == previous_price or action == 'CORR'"}
    new = {"kind": "history", "key": ["trade_id"], "condition": "previous_exists or action == 'NEWT'"}
    venue = {"kind": "history", "key": ["trade_id"], "condition": "venue == previous_venue"}
    rules = [rule("changed", check), rule("new", new), rule("venue", venue)]
    records = [
        record(trade_id="T1", price="10"),
        record(trade_id="T2", price="11"),
        record(trade_id="T3", price="11", action="CORR"),
        record(trade_id="U1", action="MODI"),
        record(trade_id="U2"),
    ]
    before = table(BEFORE, [name for name in NAMES if name != "venue"])
    judged = await judge(jail, tmp_path, rules, records, before)
    assert judged.ordinals("changed") == [2]
    assert judged.ordinals("new") == [4]
    assert (judged.rule("changed").unknown, judged.rule("venue").unknown) == (2, 5)
    judged = await judge(jail, tmp_path, rules, records)
    assert (judged.rule("new").unknown, judged.ordinals("new")) == (2, [])


async def test_a_query_reads_the_previous_extract(jail: JobServer, tmp_path: Path) -> None:
    """The table `previous` has the previous records, and none where there are none."""
    sql = "SELECT r._ordinal FROM records r JOIN previous p ON p.trade_id = r.trade_id WHERE p.price <> r.price"
    rules = [rule("query", {"kind": "sql", "sql": sql})]
    records = [record(trade_id="T1", price="10"), record(trade_id="T2", price="11")]
    assert (await judge(jail, tmp_path, rules, records, table(BEFORE))).ordinals("query") == [2]
    assert (await judge(jail, tmp_path, rules, records)).rule("query").passed == 2


async def test_what_was_no_value_before_is_no_key_of_a_record_without_one(jail: JobServer, tmp_path: Path) -> None:
    """A text that is not of its type meets no null, also where this extract's column can hold no such text."""
    check = {"kind": "history", "key": ["version"], "condition": "previous_exists", "on_unknown": "fail"}
    types = dict.fromkeys(NAMES, "VARCHAR")
    subject = Subject(source=SCHEMA, column_types={**types, "version": "BIGINT"}, previous_types=types)
    plan = build_plan(subject, [rule("there", check)], {}, MOMENT)
    now = table([record(), record()])
    at = now.column_names.index("version")
    now = now.set_column(at, "version", pa.array([None, 7], pa.int64()))
    pq.write_table(table([record(version="x"), record(version="7")]), tmp_path / "before.parquet")
    pq.write_table(now, tmp_path / "data.parquet")
    request = Request(plan=plan, data=tmp_path / "data.parquet", scratch=tmp_path, previous=tmp_path / "before.parquet")
    await validate(jail, request)
    found = pq.read_table(tmp_path / "failures.parquet", columns=["_ordinal"]).to_pydict()
    assert found == {"_ordinal": [1]}
