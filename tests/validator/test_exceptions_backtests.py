"""A backtest is judged with what people had decided when the past run was: only the draft makes a difference."""

from datetime import date, timedelta
from typing import Any

from services.validator.exceptions import decisions, waiving
from services.validator.exceptions.amending import NewValue
from tests.validator.rounds import Rounds
from tests.validator.test_exceptions_decisions import amended, one_decision

AMENDED, WAIVED = ("T1", "XXXX", "1.5"), ("T2", "YYYY", "2")
LATER = date(2099, 1, 1)


async def decided(rounds: Rounds) -> None:
    """Amend one record and waive another's failure, an hour after the first run."""
    await rounds.run(AMENDED, WAIVED)
    rounds.now += timedelta(hours=1)
    await amended(rounds, NewValue("venue", "XPAR"), key="T1")
    row = await rounds.one(key="T2")
    async with rounds.transaction() as tx:
        await waiving.waive(tx, row["id"], row["revision"], LATER, "new venue")


async def replayed(rounds: Rounds, *records: Any, after: timedelta = timedelta()) -> tuple[int, int, int]:
    """Judge as a backtest of a past run does that was judged a while from now; return held, corrected, waived."""
    run = await rounds.run(*records, kind="backtest", judged_at=rounds.now + after)
    held, corrected, waived = (run.verdict[name] for name in ("held", "corrected", "waived"))
    return held, corrected, waived


async def test_a_backtest_is_judged_with_what_was_decided_then(rounds: Rounds) -> None:
    """What was in force when the past run was judged is applied, what was decided after it is not."""
    await decided(rounds)
    assert await replayed(rounds, AMENDED, WAIVED, after=timedelta(minutes=1)) == (0, 1, 1)
    assert await replayed(rounds, AMENDED, WAIVED, after=-timedelta(minutes=1)) == (2, 0, 0)


async def test_what_is_over_by_now_was_in_force_then(rounds: Rounds) -> None:
    """A decision that was withdrawn since counts for a run before that, and not for one after it."""
    await decided(rounds)
    rounds.now += timedelta(hours=1)
    for kind in ("amendment", "waiver"):
        async with rounds.transaction() as tx:
            made = await one_decision(rounds, kind)
            await decisions.withdraw(tx, kind, made["id"], made["revision"], "was wrong")
    assert await replayed(rounds, AMENDED, WAIVED, after=-timedelta(minutes=1)) == (0, 1, 1)
    assert await replayed(rounds, AMENDED, WAIVED, after=timedelta(minutes=1)) == (2, 0, 0)


async def test_a_backtest_ends_no_decision(rounds: Rounds) -> None:
    """A conflict is seen again as the past run saw it; the amendment goes on, whatever the replay finds."""
    await decided(rounds)
    minute = timedelta(minutes=1)
    assert await replayed(rounds, ("T1", "XLON", "1.5"), after=minute) == (1, 0, 0)
    assert await replayed(rounds, ("T1", "XPAR", "1.5"), after=minute) == (0, 0, 0)
    kept = await one_decision(rounds)
    assert (kept["status"], kept["last_run_id"]) == ("active", None)
