"""The second opinion agrees with the answer keys; only then may it judge others."""

import csv
from datetime import UTC, datetime
from pathlib import Path

import pytest

from examples.broker_week.generate import write
from examples.broker_week.week import week
from tests.system.blotter.blotter import Answer, answer_key, read
from tests.system.blotter.independent import defects
from tests.system.blotter.permutation import permuted

SHARED = Path(__file__).parents[4] / "shared" / "data" / "blotter"
AS_OF = datetime(2025, 3, 11, tzinfo=UTC)
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the blotter is not beside this clone (../shared/data)")


@needs_shared
def test_finds_the_known_defects() -> None:
    """The independent calculation finds exactly the 120 defects of the key, each of its kind."""
    blotter = read(SHARED)
    assert defects(blotter, AS_OF) == answer_key(SHARED, blotter)


@needs_shared
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_permuted_copy_has_its_own_key(seed: int) -> None:
    """A permuted copy shares no trade id with the original, has as many rows, and its key is right."""
    original = read(SHARED)
    copy, key = permuted(original, answer_key(SHARED, original), seed)
    assert defects(copy, AS_OF) == key
    assert len(copy.trades) == len(original.trades)
    assert not {row["trade_id"] for row in copy.trades} & {row["trade_id"] for row in original.trades}


def test_finds_the_defects_of_the_example(tmp_path: Path) -> None:
    """The independent calculation finds exactly the defects that the example's generator names."""
    write(week(2_000), tmp_path)
    with (tmp_path / "defects.csv").open(encoding="utf-8", newline="") as file:
        key = [Answer(int(line["ordinal"]), line["defect"]) for line in csv.DictReader(file)]
    found = defects(read(tmp_path), datetime(2026, 3, 9, tzinfo=UTC))
    assert found == sorted(key, key=lambda answer: answer.ordinal)
