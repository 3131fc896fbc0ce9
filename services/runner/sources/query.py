"""A tenant's SELECT on the tenant's PostgreSQL, streamed into a sealed extract.

COPY of CSV text through a pipe into Arrow's reader: binary COPY through ADBC took 2.0 times the CPU, an asyncpg cursor 1.3
times; memory stays flat.
"""

import asyncio
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

import asyncpg

from libs.expressions import quote_identifier
from services.runner.engines.errors import SourceError
from services.runner.engines.sealing import Extract, seal
from services.runner.sources.columns import Reading, SourceColumn, match_columns
from services.runner.sources.guard import guard, setting_of
from services.runner.sources.piping import piped
from services.runner.sources.requests import QueryRequest
from services.runner.sources.session import ConnectedLoop, open_session
from services.runner.sources.stream import BLOCK, LARGE_BLOCK, LongRecordError, UnfitValueError, write_extract

_NOTICES_LOST_CLIENTS = (14, 0)
_GATHER_AFTER, _GATHER_BELOW, _GATHER_SECONDS = 1024 * 1024, 128 * 1024, 0.001
"""PostgreSQL sends pieces of 8 KiB: taking each as it comes costs four times the CPU of letting some gather."""

_SETTINGS = {"DateStyle": "ISO, YMD", "TimeZone": "UTC", "extra_float_digits": "1", "IntervalStyle": "iso_8601"}


def run_query(request: QueryRequest, descriptors: Sequence[int]) -> Extract:
    """Run the request's query over the connected socket in `descriptors` and seal its rows at the target.

    Read-only transaction, the role's own rights, a bound `statement_timeout`. A typed column with a value that its
    Arrow type cannot take (NaN, too many digits) is read again as raw text, so that the record is judged and not the run.

    Raises:
        SourceError: see `services.runner.sources.extract.extract_query`.
    """
    sql = guard(request.query)
    loop = ConnectedLoop(socket.socket(fileno=descriptors[0]))
    try:
        session = loop.run_until_complete(open_session(request))
        return _extract(loop, session, request, sql)
    finally:
        loop.close()


def _extract(loop: ConnectedLoop, session: "asyncpg.Connection[Any]", request: QueryRequest, sql: str) -> Extract:
    way = _Way(_run(loop, request, _describe(session, request, sql)))
    while True:
        try:
            rows = _copy(loop, session, request, sql, way)
        except UnfitValueError as unfit:
            way = way.with_text(unfit.column)
        except LongRecordError:
            way = way.with_large_blocks()
        else:
            sealed = seal(request.target, rows)
            types = {reading.field.name: reading.duckdb_type for reading in way.readings}
            return Extract(**sealed.model_dump(), column_types=types)


@dataclass(frozen=True, slots=True)
class _Way:
    """How the rows are read; a way that did not do leads to the next, three times at most."""

    readings: Sequence[Reading]
    block: int = BLOCK
    unfit: bool = False

    def with_text(self, column: str) -> "_Way":
        """Read the first unfit column as text; should another follow, all of them."""
        only = None if self.unfit else column
        readings = [
            Reading(r.field, typed=r.typed and only is not None and r.field.name != only) for r in self.readings
        ]
        return replace(self, readings=readings, unfit=True)

    def with_large_blocks(self) -> "_Way":
        if self.block == LARGE_BLOCK:
            raise SourceError("record-too-long", f"A record is longer than {LARGE_BLOCK:,} bytes.")
        return replace(self, block=LARGE_BLOCK)


async def _describe(session: "asyncpg.Connection[Any]", request: QueryRequest, sql: str) -> list[Reading]:
    async with session.transaction(readonly=True):
        await _bind(session, request)
        prepared = await session.prepare(sql)
        columns = [
            SourceColumn(attribute.name, attribute.type.name, is_enum=await _is_enum(session, attribute.type.oid))
            for attribute in prepared.get_attributes()
        ]
    return match_columns(request.source_schema, columns)


async def _is_enum(session: "asyncpg.Connection[Any]", oid: int) -> bool:
    first_user_oid = 16384
    if oid < first_user_oid:
        return False
    return bool(await session.fetchval("SELECT typtype = 'e' FROM pg_catalog.pg_type WHERE oid = $1", oid))


async def _bind(session: "asyncpg.Connection[Any]", request: QueryRequest) -> None:
    values = {
        **_SETTINGS,
        "statement_timeout": f"{request.connector.statement_timeout_seconds}s",
        setting_of("business_date"): request.business_date.isoformat(),
        setting_of("as_of"): request.as_of.isoformat(),
    }
    if session.get_server_version() >= _NOTICES_LOST_CLIENTS:
        values["client_connection_check_interval"] = "1s"  # a killed child's query would else run on unseen
    for name, value in values.items():
        await session.fetchval("SELECT pg_catalog.set_config($1, $2, true)", name, value)


def _copy(
    loop: ConnectedLoop,
    session: "asyncpg.Connection[Any]",
    request: QueryRequest,
    sql: str,
    way: _Way,
) -> int:
    """Pump the rows through a pipe: PostgreSQL on a thread of its own, parsing and writing here."""
    columns = ", ".join(quote_identifier(reading.field.name) for reading in way.readings)
    limited = "" if request.limit is None else f" LIMIT {int(request.limit)}"
    chosen = f"SELECT {columns} FROM ({sql}) AS q{limited}"
    with piped(lambda stream: _run(loop, request, _send(session, request, chosen, stream))) as (stream, sent):
        try:
            rows = write_extract(stream, way.readings, request.target, way.block)
        except Exception as error:
            stream.close()
            cause = sent.exception()
            raise (cause if isinstance(cause, SourceError) else error) from error
        announced = sent.result()
    if announced != rows:
        raise SourceError("incomplete", f"The source sent {announced} rows, {rows} arrived.", retryable=True)
    return rows


async def _send(session: "asyncpg.Connection[Any]", request: QueryRequest, sql: str, stream: BinaryIO) -> int:
    passed = 0

    async def write(data: bytes) -> None:
        nonlocal passed
        # a reader that gave up lets the rest run by: cancelling would need a connection of its own
        with suppress(BrokenPipeError):
            view = memoryview(data)
            while view:
                view = view[stream.write(view) :]
        passed += len(data)
        if passed > _GATHER_AFTER and len(data) < _GATHER_BELOW:
            await asyncio.sleep(_GATHER_SECONDS)

    async with session.transaction(readonly=True):
        await _bind(session, request)
        status = await session.copy_from_query(sql, output=write, format="csv")
    return int(status.rpartition(" ")[2])


def _run(loop: ConnectedLoop, request: QueryRequest, work: Any) -> Any:
    """Run `work` to its end, saying in plain words what PostgreSQL did not like."""
    try:
        return loop.run_until_complete(work)
    except asyncpg.QueryCanceledError as error:
        seconds = request.connector.statement_timeout_seconds
        raise SourceError(
            "timeout", f"The query took longer than {seconds} s and was stopped.", retryable=True
        ) from error
    except asyncpg.InsufficientPrivilegeError as error:
        raise SourceError("not-permitted", f"The source does not permit the query: {error.args[0]}.") from error
    except (asyncpg.SyntaxOrAccessError, asyncpg.ReadOnlySQLTransactionError) as error:
        raise SourceError("query-refused", f"The source refuses the query: {error.args[0]}.") from error
    except (asyncpg.PostgresConnectionError, asyncpg.OperatorInterventionError, ConnectionError) as error:
        raise SourceError("connection-lost", "The connection to the source was lost.", retryable=True) from error
    except asyncpg.PostgresError as error:
        raise SourceError("source-failed", f"The source could not answer the query: {error.args[0]}.") from error
