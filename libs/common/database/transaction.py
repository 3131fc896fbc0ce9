from collections import Counter
from collections.abc import Awaitable, Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

import orjson
from sqlalchemy.sql.elements import ClauseElement

from libs.common.context import Context
from libs.common.database.statements import render
from libs.common.events.envelope import Data, envelope
from libs.common.events.registry import require_declared
from libs.common.ids import uuid7

Row = Mapping[str, Any]

_NEXT_SEQUENCES = """
INSERT INTO entity_sequence AS s (tenant_id, entity_id, value)
SELECT $1, entity, events FROM unnest($2::text[], $3::bigint[]) AS given (entity, events)
ON CONFLICT (tenant_id, entity_id) DO UPDATE SET value = s.value + excluded.value RETURNING entity_id, value
"""
_APPEND = """
INSERT INTO outbox (tenant_id, event_id, subject, body)
SELECT $1, event_id, subject, body
FROM unnest($2::uuid[], $3::text[], $4::bytea[]) WITH ORDINALITY AS given (event_id, subject, body, place)
ORDER BY place
"""

AtEnd = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class _Emission:
    """An event that waits for its sequence number, in the context that it was emitted in."""

    event_id: UUID
    name: str
    data: Data
    entity: str
    context: Context


@dataclass(frozen=True, slots=True)
class _Letter:
    """A message for the outbox that is complete."""

    event_id: UUID
    subject: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Poke:
    """A word to this service's own workers: the queue, what it refers to as JSON."""

    queue: str
    body: bytes


class Hands(Protocol):
    """Workers in this very process."""

    def take(self, queue: str) -> bool:
        """Keep a place for work that may be committed soon; false where there is none."""

    async def prepare(self, tx: "Transaction", poke: Poke) -> Any:
        """Do what can be done of the work in the transaction that brings it, at its end; return what that comes to."""

    def leave(self) -> None:
        """Give up a place: the work was not committed."""

    def begin(self, poke: Poke, prepared: Any) -> None:
        """Begin work that was committed, at the place that was kept for it."""


class Transaction:
    """One tenant's transaction: what is written and what is announced commit together.

    The door that made it commits; commands only work inside it.
    """

    def __init__(self, connection: Any, context: Context, service: str, hands: Hands | None = None) -> None:
        self.connection = connection
        self.context = context
        self.service = service
        self.wrote_outbox = False
        self._hands = hands
        self._taken: list[Poke] = []
        self._prepared: list[tuple[Poke, Any]] = []
        self.at_end: dict[Hashable, AtEnd] = {}
        self._outgoing: list[_Emission | _Letter] = []

    @property
    def tenant_id(self) -> UUID:
        """The tenant whose rows this transaction sees."""
        return self.context.tenant_id

    async def begin(self) -> None:
        """Begin, with the tenant set for this transaction only."""
        await self.connection.execute(f"BEGIN; SET LOCAL app.tenant_id = '{UUID(str(self.tenant_id))}'")

    async def become(self, context: Context) -> None:
        """Go on for another tenant in the same transaction; for readers whose batch spans tenants."""
        await self.flush()
        self.context = context
        await self.connection.execute(f"SET LOCAL app.tenant_id = '{UUID(str(context.tenant_id))}'")

    async def commit(self) -> None:
        """Commit."""
        await self.flush()
        try:
            await self.connection.execute("COMMIT")
        except BaseException:
            self._leave()
            raise
        while self._prepared and self._hands is not None:
            self._hands.begin(*self._prepared.pop(0))

    async def rollback(self) -> None:
        """Roll back, if the connection still lives."""
        self._leave()
        if not self.connection.is_closed():
            await self.connection.execute("ROLLBACK")

    async def rows(self, statement: ClauseElement) -> Sequence[Row]:
        """Return all rows of a Core statement."""
        sql, arguments = render(statement)
        rows: Sequence[Row] = await self.connection.fetch(sql, *arguments)
        return rows

    async def row(self, statement: ClauseElement) -> Row | None:
        """Return the first row of a Core statement, or None."""
        sql, arguments = render(statement)
        row: Row | None = await self.connection.fetchrow(sql, *arguments)
        return row

    async def value(self, statement: ClauseElement) -> Any:
        """Return the first column of the first row of a Core statement, or None."""
        sql, arguments = render(statement)
        return await self.connection.fetchval(sql, *arguments)

    async def execute(self, statement: ClauseElement) -> int:
        """Run a Core statement and return the number of rows that it touched."""
        sql, arguments = render(statement)
        status: str = await self.connection.execute(sql, *arguments)
        return int(status.rsplit(" ", 1)[-1]) if status[-1:].isdigit() else 0

    async def emit(self, name: str, data: Data, *, entity: UUID | str) -> UUID:
        """Announce a fact about an entity: `name` is `<entity>.<verb>`, as the service's contracts list it.

        Returns the event's id. The event leaves with this transaction's commit or not at all.
        """
        require_declared(self.service, name, data)
        event_id = uuid7(self.context.now)
        self._append(_Emission(event_id, name, data, str(entity), self.context))
        return event_id

    async def poke(self, queue: str, **reference: str) -> None:
        """Tell this service's own workers that `queue` has work; the truth stays in the database.

        Where this process has a free hand, it begins once this is committed, and nobody else is told.
        """
        body = orjson.dumps({"tenant_id": str(self.tenant_id), **reference})
        if self._hands is not None and self._hands.take(queue):
            self._taken.append(Poke(queue, body))
        else:
            self._append(_Letter(uuid7(self.context.now), f"work.{self.service}.{queue}", body))

    async def dead_letter(self, subject: str, body: bytes, *, event_id: UUID) -> None:
        """Put a message that cannot be handled, with its reason, on the dead-letter stream."""
        self._append(_Letter(event_id, subject, body))

    def _leave(self) -> None:
        kept, self._taken, self._prepared = [*self._taken, *self._prepared], [], []
        if self._hands is not None:
            for _ in kept:
                self._hands.leave()

    def _append(self, outgoing: _Emission | _Letter) -> None:
        self._outgoing.append(outgoing)
        self.wrote_outbox = True

    async def flush(self) -> None:
        """Do what waits for the end, then write the outbox: two statements, however many events there are."""
        while self._taken or self.at_end:
            await self._end()
        outgoing, self._outgoing = self._outgoing, []
        if not outgoing:
            return
        letters = self._numbered(outgoing, await self._sequences(outgoing))
        ids, subjects, bodies = zip(*((each.event_id, each.subject, each.body) for each in letters), strict=True)
        await self.connection.execute(_APPEND, self.tenant_id, ids, subjects, bodies)

    async def _end(self) -> None:
        while self._taken and self._hands is not None:
            prepared = await self._hands.prepare(self, self._taken[0])
            self._prepared.append((self._taken.pop(0), prepared))
        ending, self.at_end = self.at_end, {}
        for work in ending.values():
            await work()

    async def _sequences(self, outgoing: Sequence[_Emission | _Letter]) -> dict[str, int]:
        """Reserve each entity's next sequence numbers; return the last number before them."""
        events = Counter(each.entity for each in outgoing if isinstance(each, _Emission))
        if not events:
            return {}
        # in one order everywhere, so that two transactions never wait for each other
        entities = sorted(events)
        counts = [events[entity] for entity in entities]
        rows = await self.connection.fetch(_NEXT_SEQUENCES, self.tenant_id, entities, counts)
        return {row["entity_id"]: row["value"] - events[row["entity_id"]] for row in rows}

    def _numbered(self, outgoing: Sequence[_Emission | _Letter], last: dict[str, int]) -> Iterator[_Letter]:
        for each in outgoing:
            if isinstance(each, _Letter):
                yield each
                continue
            last[each.entity] += 1
            body = envelope(
                each.context,
                source=self.service,
                name=each.name,
                data=each.data,
                entity=each.entity,
                id=each.event_id,
                sequence=last[each.entity],
            )
            yield _Letter(each.event_id, f"evt.{each.context.tenant_id}.{self.service}.{each.name}", body)
