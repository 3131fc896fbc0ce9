"""The end of a backtest: its last run has ended."""

from uuid import UUID

from libs.common.database.transaction import Transaction
from libs.common.events.runner import BacktestCompleted, VersionReference
from services.runner.domain.comparing import total
from services.runner.store import backtests


class Ending:
    """Looks at a transaction's end whether a backtest is over: all runs that it ends are held by then, in one order."""

    def __init__(self, tx: Transaction, backtest_id: UUID) -> None:
        self._tx, self._backtest_id = tx, backtest_id

    async def __call__(self) -> None:
        """Complete the backtest if its runs have all ended."""
        await conclude(self._tx, self._backtest_id)


async def conclude(tx: Transaction, backtest_id: UUID) -> None:
    """Complete a backtest whose runs have all ended."""
    row = await backtests.find(tx, backtest_id, lock=True)
    if row["status"] == "completed" or await backtests.open_runs(tx, backtest_id):
        return
    replays = await backtests.replays(tx, backtest_id)
    failed = sum(1 for each in replays if each["facts"] is None)
    counts = total(each["facts"] for each in replays if each["facts"] is not None)
    await backtests.complete(tx, backtest_id, failed, counts)
    fact = BacktestCompleted(
        backtest_id=backtest_id,
        draft=VersionReference(**row["draft"]),
        proposal_id=row["proposal_id"],
        runs=row["runs"],
        failed=failed,
        counts=counts,
    )
    await tx.emit("backtest.completed", fact, entity=backtest_id)
