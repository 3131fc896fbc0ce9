"""How many transforms run at once, and how many of them a tenant's."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID


class Room:
    """So many places, of which one tenant never has all, so that its endless loops leave room for others."""

    def __init__(self, places: int, most_of_one: int | None = None) -> None:
        self._places = places
        self._most = most_of_one or max(1, places - 1)
        self._taken: Counter[UUID] = Counter()

    def has_place(self, tenant_id: UUID) -> bool:
        """Say whether one more of this tenant fits."""
        return self._taken.total() < self._places and self._taken[tenant_id] < self._most

    @contextmanager
    def place(self, tenant_id: UUID) -> Iterator[None]:
        """Take a place for as long as the context lasts; `has_place` was asked before."""
        self._taken[tenant_id] += 1
        try:
            yield
        finally:
            self._taken[tenant_id] -= 1
            self._taken += Counter()  # forgets who has none
