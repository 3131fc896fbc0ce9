"""A request says which columns its dataset has: that spares a look into it, and deceives nobody."""

from typing import Any

import pytest

from tests.validator.rounds import Rounds

TOLD = {"id": "VARCHAR", "venue": "VARCHAR", "price": "VARCHAR"}
RECORDS = (("T1", "XLON", "2"), ("T2", "XLON", "-1"))


@pytest.fixture
def kinds(rounds: Rounds, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note what each job in the jail is called for."""
    seen: list[str] = []
    run = rounds.jail.run

    async def noted(*arguments: Any, **more: Any) -> Any:
        seen.append(more.get("call", "job"))
        return await run(*arguments, **more)

    monkeypatch.setattr(rounds.jail, "run", noted)
    return seen


async def test_columns_that_are_told_are_not_asked_for(rounds: Rounds, kinds: list[str]) -> None:
    """The verdict is the same, one job earlier."""
    plain = (await rounds.run(*RECORDS)).verdict
    assert kinds == ["describe", "job", "reseal"]
    kinds.clear()
    told = (await rounds.run(*RECORDS, column_types=TOLD)).verdict
    assert kinds == ["job", "reseal"]
    assert (told["held"], told["rows"], told["counts"]) == (plain["held"], plain["rows"], plain["counts"])
    assert told["held"] > 0


@pytest.mark.parametrize(("column", "kind"), [("price", "DECIMAL(18,2)"), ("id", "BIGINT"), ("more", "VARCHAR")])
async def test_wrong_columns_are_found_out(rounds: Rounds, kinds: list[str], column: str, kind: str) -> None:
    """A dataset that has not the columns that were told is judged by those that it has."""
    plain = (await rounds.run(*RECORDS)).verdict
    kinds.clear()
    told = (await rounds.run(*RECORDS, column_types={**TOLD, column: kind})).verdict
    assert kinds == ["job", "describe", "job", "reseal"]
    assert (told["held"], told["counts"]) == (plain["held"], plain["counts"])


async def test_columns_that_are_told_in_part_are_asked_for(rounds: Rounds, kinds: list[str]) -> None:
    """Without all fields of the schema what is told is no use."""
    assert (await rounds.run(*RECORDS, column_types={"id": "VARCHAR"})).verdict["held"] > 0
    assert kinds == ["describe", "job", "reseal"]
