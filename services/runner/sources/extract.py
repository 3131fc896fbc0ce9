"""Extraction as the runner calls it: each in a child of its own that holds one descriptor of the source and no more."""

import asyncio
import os
import socket
from datetime import date, datetime
from pathlib import Path, PurePosixPath
from typing import Literal

from libs.common.jail import JobServer
from libs.common.outbound import Destination, OutboundPolicy, OutboundRefused, Resolver, resolve
from libs.common.vocabulary.connections import PostgresConnector
from libs.common.vocabulary.schemas import SchemaSpec
from services.runner.engines.drafts import LARGEST, DraftRequest, Extracted
from services.runner.engines.errors import DataPathError, SourceError
from services.runner.engines.workshop import run_in_child
from services.runner.sources.files import open_below
from services.runner.sources.requests import CsvRequest, QueryRequest

_CONNECT_SECONDS = 10.0
_GRACE_SECONDS = 60.0


async def extract_file(
    jobs: JobServer,
    *,
    root: Path,
    path: str,
    file: str,
    delimiter: Literal[",", ";", "\t", "|"],
    schema: SchemaSpec,
    target: Path,
    timeout_seconds: float,
    limit: int | None = None,
    draft: DraftRequest | None = None,
) -> Extracted:
    """Seal the CSV `file`, or its first `limit` records, in the directory `path` below the operator's `root` at `target`.

    A small file gets a `draft` of what follows too.

    Raises:
        SourceError: `path-refused`, `root-missing`, `file-missing` (retryable), `file-unreadable`, `header-malformed`,
            `missing-column`, `file-malformed`, `not-utf8`. DataPathError: `timeout`, `crashed`.
    """
    descriptor = open_below(root, str(PurePosixPath(path) / file))
    try:
        request = CsvRequest(
            name=file,
            delimiter=delimiter,
            source_schema=schema,
            target=target,
            limit=limit,
            draft=draft if os.fstat(descriptor).st_size <= LARGEST else None,
        )
        return await run_in_child(
            jobs,
            "parse_csv",
            request,
            Extracted,
            writes=_written(request),
            descriptors=[descriptor],
            timeout_seconds=timeout_seconds,
        )
    finally:
        os.close(descriptor)


async def extract_query(
    jobs: JobServer,
    *,
    connector: PostgresConnector,
    password: str,
    query: str,
    schema: SchemaSpec,
    business_date: date,
    as_of: datetime,
    target: Path,
    policy: OutboundPolicy,
    resolver: Resolver | None = None,
    limit: int | None = None,
    draft: DraftRequest | None = None,
) -> Extracted:
    """Seal the rows of the tenant's SELECT, or at most `limit` of them, at `target`.

    The connection is made here, to the address that the outbound policy judged; the child gets the connected socket and
    the password, no more. `:business_date` and `:as_of` in the query are bound.
    A small extract gets a `draft` of what follows too.

    Raises:
        SourceError: `outbound-refused`, `unreachable` (retryable), `login-refused`, `database-missing`, `tls-failed`,
            `query-refused`, `not-permitted`, `missing-column`, `column-repeated`, `type-mismatch`, `record-too-long`,
            `timeout`, `connection-lost`, `incomplete` (all retryable), `source-failed`. DataPathError: `crashed`.
    """
    request = QueryRequest(
        connector=connector,
        password=password,
        query=query,
        source_schema=schema,
        business_date=business_date,
        as_of=as_of,
        target=target,
        limit=limit,
        draft=draft,
    )
    with await _connect(await _judge(policy, connector, resolver)) as connection:
        return await _ask(jobs, request, connection)


async def _ask(jobs: JobServer, request: QueryRequest, connection: socket.socket) -> Extracted:
    try:
        return await run_in_child(
            jobs,
            "run_query",
            request,
            Extracted,
            reads=_trust(),
            writes=_written(request),
            descriptors=[connection.fileno()],
            timeout_seconds=request.connector.statement_timeout_seconds + _GRACE_SECONDS,
        )
    except SourceError:
        raise
    except DataPathError as error:
        raise SourceError(error.code, error.message, retryable=error.retryable) from error


def _written(request: CsvRequest | QueryRequest) -> list[Path]:
    return [request.target.parent, *(request.draft.folders if request.draft else ())]


async def _judge(policy: OutboundPolicy, connector: PostgresConnector, resolver: Resolver | None) -> Destination:
    try:
        return await asyncio.to_thread(resolve, policy, connector.host, connector.port, resolver)
    except OutboundRefused as error:
        raise SourceError("outbound-refused", str(error)) from error
    except OSError as error:
        raise SourceError("unreachable", f"The host {connector.host!r} is not known.", retryable=True) from error


async def _connect(destination: Destination) -> socket.socket:
    family = socket.AF_INET6 if ":" in destination.address else socket.AF_INET
    connection = socket.socket(family, socket.SOCK_STREAM)
    connection.setblocking(False)
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            await asyncio.get_running_loop().sock_connect(connection, (destination.address, destination.port))
    except (OSError, TimeoutError) as error:
        connection.close()
        text = f"{destination.host}:{destination.port} cannot be reached."
        raise SourceError("unreachable", text, retryable=True) from error
    except BaseException:
        connection.close()
        raise
    return connection


def _trust() -> list[Path]:
    """Return where this system keeps the certificates that it trusts."""
    places = (Path("/etc/ssl"), Path("/etc/pki"), Path("/usr/share/ca-certificates"))
    return [place for place in places if place.is_dir()]
