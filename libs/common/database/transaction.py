from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy.sql.elements import ClauseElement

from libs.common.context import Context
from libs.common.database.statements import render
from libs.common.events.envelope import Data, envelope
from libs.common.events.registry import require_declared
from libs.common.ids import uuid7

Row = Mapping[str, Any]

_NEXT_SEQUENCE = """
INSERT INTO entity_sequence AS s (tenant_id, entity_id, value) VALUES ($1, $2, 1)
ON CONFLICT (tenant_id, entity_id) DO UPDATE SET value = s.value + 1 RETURNING value
"""
_APPEND = "INSERT INTO outbox (tenant_id, event_id, subject, body) VALUES ($1, $2, $3, $4)"


class Transaction:
    """One tenant's transaction: what is written and what is announced commit together.

    The door that made it commits; commands only work inside it.
    """

    def __init__(self, connection: Any, context: Context, service: str) -> None:
        self.connection = connection
        self.context = context
        self.service = service
        self.wrote_outbox = False

    @property
    def tenant_id(self) -> UUID:
        """The tenant whose rows this transaction sees."""
        return self.context.tenant_id

    async def begin(self) -> None:
        """Begin, with the tenant set for this transaction only."""
        await self.connection.execute(f"BEGIN; SET LOCAL app.tenant_id = '{UUID(str(self.tenant_id))}'")

    async def become(self, context: Context) -> None:
        """Go on for another tenant in the same transaction; for readers whose batch spans tenants."""
        self.context = context
        await self.connection.execute(f"SET LOCAL app.tenant_id = '{UUID(str(context.tenant_id))}'")

    async def commit(self) -> None:
        """Commit."""
        await self.connection.execute("COMMIT")

    async def rollback(self) -> None:
        """Roll back, if the connection still lives."""
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
        sequence = await self.connection.fetchval(_NEXT_SEQUENCE, self.tenant_id, str(entity))
        body = envelope(
            self.context, source=self.service, name=name, data=data, entity=str(entity), id=event_id, sequence=sequence
        )
        await self._append(event_id, f"evt.{self.tenant_id}.{self.service}.{name}", body)
        return event_id

    async def poke(self, queue: str, **reference: str) -> None:
        """Tell this service's own workers that `queue` has work; the truth stays in the database."""
        event_id = uuid7(self.context.now)
        body = orjson.dumps({"tenant_id": str(self.tenant_id), **reference})
        await self._append(event_id, f"work.{self.service}.{queue}", body)

    async def dead_letter(self, subject: str, body: bytes, *, event_id: UUID) -> None:
        """Put a message that cannot be handled, with its reason, on the dead-letter stream."""
        await self._append(event_id, subject, body)

    async def _append(self, event_id: UUID, subject: str, body: bytes) -> None:
        await self.connection.execute(_APPEND, self.tenant_id, event_id, subject, body)
        self.wrote_outbox = True
