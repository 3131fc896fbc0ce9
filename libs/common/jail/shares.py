"""Who may run how much at once, and how much processor time in a while: one tenant's bombs cost others nothing."""

import asyncio
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from libs.common.jail.errors import OverBudget

Owner = str | None
"""A tenant's id; None is the service itself."""


@dataclass(slots=True)
class Budget:
    """CPU seconds that each owner may use within any `window` seconds."""

    cpu_seconds: float
    window: float = 60.0
    _spent: dict[Owner, deque[tuple[float, float]]] = field(default_factory=dict)

    def spend(self, owner: Owner, seconds: float) -> None:
        """Book what a job has used."""
        self._spent.setdefault(owner, deque()).append((time.monotonic(), seconds))

    def wait(self, owner: Owner) -> float:
        """Return how many seconds it takes until the owner has budget again, 0 where it has."""
        now = time.monotonic()
        spent = self._spent.get(owner, deque())
        while spent and spent[0][0] + self.window <= now:
            spent.popleft()
        if not spent:
            self._spent.pop(owner, None)
        over = sum(seconds for _, seconds in spent) - self.cpu_seconds
        for when, seconds in spent:  # the oldest leave the window first
            if over < 0:
                break
            over -= seconds
            if over < 0:
                return when + self.window - now
        return 0.0


@dataclass(slots=True)
class Place:
    """A place that is held, by whoever got it and by those whom they lend it to; free when the last one has left."""

    _free: Callable[[], None]
    _holders: int = 1

    def lend(self) -> Callable[[], None]:
        """Have it held by one more; return what they call when they leave."""
        self._holders += 1
        return self.leave

    def leave(self) -> None:
        """Hold it no longer."""
        self._holders -= 1
        if not self._holders:
            self._free()


class Shares:
    """`slots` places; an owner holds at most `most` of them, and whoever holds fewest is next.

    Who is over the `budget` is refused, or, where that is `patient`, waits.
    """

    def __init__(
        self, slots: int, most: int | None = None, budget: Budget | None = None, *, patient: bool = False
    ) -> None:
        self._free = slots
        self._most = min(slots, most or slots)
        self._budget = budget
        self._patient = patient
        self._held: Counter[Owner] = Counter()
        self._waiting: list[tuple[Owner, asyncio.Future[None]]] = []

    @asynccontextmanager
    async def place(self, owner: Owner) -> AsyncIterator[Place]:
        """Hold a place while the body runs, and for as long as it has lent it.

        Raises:
            OverBudget: the owner has used up its processor time for now.
        """
        await self._require_budget(owner)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((owner, turn))
        self._call()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._give_back(owner)
            else:
                self._waiting.remove((owner, turn))
            raise
        place = Place(lambda: self._give_back(owner))
        try:
            yield place
        finally:
            place.leave()

    def spend(self, owner: Owner, cpu_seconds: float) -> None:
        """Book the processor time of a job."""
        if self._budget is not None:
            self._budget.spend(owner, cpu_seconds)

    async def _require_budget(self, owner: Owner) -> None:
        if self._budget is None or owner is None:
            return
        while wait := self._budget.wait(owner):
            if not self._patient:
                raise OverBudget(wait)
            await asyncio.sleep(wait)

    def _give_back(self, owner: Owner) -> None:
        self._free += 1
        self._held[owner] -= 1
        if not self._held[owner]:
            del self._held[owner]
        self._call()

    def _call(self) -> None:
        """Give free places to those who wait, fewest places first, then in their order."""
        while self._free:
            fitting = [one for one in self._waiting if self._held[one[0]] < self._most]
            if not fitting:
                return
            owner, turn = min(fitting, key=lambda one: self._held[one[0]])
            self._waiting.remove((owner, turn))
            if not turn.cancelled():
                self._free -= 1
                self._held[owner] += 1
                turn.set_result(None)
