"""What does not fit into memory goes to disk, as much as it may: beyond that it is the rule's error, or the job's end (S18)."""

import hashlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from libs.common.jail import MIB, JobFailed, JobServer
from services.validator.jail import broker
from services.validator.jail.broker import Outcome, Request, validate
from tests.expressions.sql import legitimate
from tests.validator.test_sql_rules import _CONTENTS
from tests.validator.test_sql_unguarded import unguarded

ROWS = 400_000
SORTS = "SELECT _ordinal FROM (SELECT _ordinal, row_number() OVER (ORDER BY concat(id, ccy, venue, action), _ordinal) AS place FROM records) AS a WHERE place = 1"


def large(path: Path) -> Path:
    """Write records whose texts are too many for a small engine."""
    texts = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(ROWS)]
    columns: dict[str, Any] = dict.fromkeys(legitimate.NAMES, pa.nulls(ROWS, pa.string()))
    columns |= {name: pa.array(texts) for name in ("id", "ccy", "venue", "action")}
    pq.write_table(
        pa.table({"_ordinal": pa.array(range(1, ROWS + 1)), **columns}),
        path,
        row_group_size=20_000,
        use_dictionary=False,
    )
    return path


async def sorted_with(jail: JobServer, place: Path, spill_bytes: int) -> Outcome:
    """Have the records sorted by an engine with little memory and so much room on disk."""
    request = Request(
        plan=unguarded([SORTS]), data=large(place / "data.parquet"), scratch=place, mappings=_CONTENTS,
        memory=96 * MIB, threads=1, wall_seconds=120.0, spill_bytes=spill_bytes,
    )  # fmt: skip
    return await validate(jail, request)


async def test_a_sort_larger_than_memory_spills(jail: JobServer, tmp_path: Path) -> None:
    """With room on disk the rule has its verdict."""
    outcome = await sorted_with(jail, tmp_path, 1024 * MIB)
    assert outcome.errored == ()
    assert [rule.failed for rule in outcome.rules if rule.rule_id == "0"] == [1]


async def test_a_sort_larger_than_the_disk_may_hold_is_an_error(jail: JobServer, tmp_path: Path) -> None:
    """The engine stops by itself, and the rule says why."""
    outcome = await sorted_with(jail, tmp_path, 8 * MIB)
    [rule] = outcome.errored
    assert "Out of Memory" in rule.problem


async def test_whoever_writes_past_the_engine_is_stopped(
    jail: JobServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The jail counts for itself: a job that spills more than its room ends there, whatever its engine thinks."""
    monkeypatch.setattr(broker, "room_of", lambda _: 8 * MIB)
    with pytest.raises(JobFailed, match="SpillTooLarge"):
        await sorted_with(jail, tmp_path, 1024 * MIB)
