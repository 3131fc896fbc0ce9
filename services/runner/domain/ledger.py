"""The record ledger: nothing disappears."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from services.runner.domain.steps import STEPS_OF


class UnbalancedError(Exception):
    """Records are missing or appear from nowhere."""


@dataclass(frozen=True, slots=True)
class Balance:
    """What became of one step's records; it cannot exist unbalanced.

    `records_in` come from the step before, `created` from this one; each is out, held (an exception is open), rejected
    (final), filtered, a duplicate, or merged into another.

    Raises:
        UnbalancedError: a count is negative, or the two sides differ.
    """

    records_in: int = 0
    created: int = 0
    records_out: int = 0
    held: int = 0
    rejected: int = 0
    filtered: int = 0
    duplicate: int = 0
    merged: int = 0

    def __post_init__(self) -> None:
        if min(self.as_dict().values()) < 0:
            raise UnbalancedError(f"a count is negative: {self.as_dict()}")
        if self.records_in + self.created != self.records_out + self.dropped:
            raise UnbalancedError(f"records are missing or new: {self.as_dict()}")

    @property
    def dropped(self) -> int:
        """The records that do not go on."""
        return self.held + self.rejected + self.filtered + self.duplicate + self.merged

    def as_dict(self) -> dict[str, int]:
        """Return the counts by name."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Totals:
    """A whole run's balance."""

    records_in: int
    records_out: int
    held: int


def close(balances: Sequence[tuple[str, Balance]], kind: str = "report") -> Totals:
    """Return the totals of a run of a kind whose steps all balance, each with the one before.

    Raises:
        UnbalancedError: a step is missing or takes another number of records than the one before gave.
    """
    _require_order([step for step, _ in balances], STEPS_OF[kind])
    carried = 0
    for step, balance in balances:
        if balance.records_in != carried:
            raise UnbalancedError(f"{step} took {balance.records_in} records of {carried}")
        carried = balance.records_out
    return Totals(
        records_in=sum(balance.created for _, balance in balances),
        records_out=carried,
        held=sum(balance.held for _, balance in balances),
    )


def _require_order(given: Sequence[str], steps: Iterable[str]) -> None:
    # validate_output may be skipped: it then has no balance
    if given not in ([*steps], [step for step in steps if step != "validate_output"]):
        raise UnbalancedError(f"the ledger has the steps {', '.join(given) or 'none'}")
