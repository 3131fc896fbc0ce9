"""Lists by keyset: stable under concurrent inserts, the same cost on every page."""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import Depends, Query
from fastapi.responses import Response
from sqlalchemy import Column, Select

from libs.common.database.statements import render
from libs.common.database.transaction import Transaction
from libs.common.errors import FieldProblem, Invalid

MAX_LIMIT = 500
MAX_OFFSET = 1000


@dataclass(frozen=True, slots=True)
class Page:
    """The part of a list that is asked for."""

    limit: int
    cursor: str | None
    offset: int


async def _page(
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT, description="entries per page")] = 50,
    cursor: Annotated[str | None, Query(max_length=500, description="`next` of the page before")] = None,
    offset: Annotated[int, Query(ge=0, description="entries to skip, at most 1,000; beyond that use the cursor")] = 0,
) -> Page:
    if offset > MAX_OFFSET:
        problem = FieldProblem("offset", "at most 1000; follow `next` (the cursor) to go further")
        raise Invalid("Pages this deep are reached by the cursor.", type="offset-too-large", fields=[problem])
    return Page(limit, cursor, offset)


PageParameters = Annotated[Page, Depends(_page)]


async def page_of(
    tx: Transaction, statement: Select[Any], page: Page, key: Sequence[Column[Any]], *, descending: bool = True
) -> Response:
    """Answer one page of a list, ordered by `key` (the last of it unique), as `{"items": [...], "next": ...}`.

    The statement selects the key's columns under their own names.
    """
    inner, arguments = render(statement)
    names = tuple(column.name for column in key)
    bounds = position(page, key)
    sql = _page_sql(inner, len(arguments), names, from_cursor=bool(bounds), descending=descending)
    found = await tx.connection.fetchrow(sql, *arguments, *bounds, page.limit, page.offset)
    following = f'"{_encode(found["last"])}"' if found["more"] else "null"
    return Response(b"%b%b}" % (found["items"], following.encode()), media_type="application/json")


@lru_cache(maxsize=1000)
def _page_sql(inner: str, arguments: int, names: tuple[str, ...], *, from_cursor: bool, descending: bool) -> str:
    """Return the SQL of a page around a statement's own, whose placeholders come first.

    PostgreSQL writes the JSON: two thirds of the cost of rows made into Python objects and back. The names are those of
    our own columns.
    """
    columns = [f'list."{name}"' for name in names]
    places = [f"${number}" for number in range(arguments + 1, arguments + 1 + len(names) * from_cursor)]
    comparison = f"WHERE ({', '.join(columns)}) {'<' if descending else '>'} ({', '.join(places)})" if places else ""
    order = ", ".join(f"{column} {'DESC' if descending else 'ASC'}" for column in columns)
    keys = ", ".join(f'page."{name}"' for name in names)
    numbered = ", ".join(f'page."{name}" {"DESC" if descending else "ASC"}' for name in names)
    number = arguments + len(places) + 1
    limit, offset = f"${number}::bigint", f"${number + 1}::bigint"
    return f"""
        SELECT convert_to('{{"items":[' || coalesce(string_agg(entry, ',' ORDER BY place) FILTER (WHERE place <= {limit}), '')
            || '],"next":', 'UTF8') AS items, max(key) FILTER (WHERE place = {limit}) AS last, count(*) > {limit} AS more
        FROM (SELECT row_to_json(page)::text AS entry, json_build_array({keys})::text AS key,
                row_number() OVER (ORDER BY {numbered}) AS place
            FROM (SELECT * FROM ({inner}) list {comparison} ORDER BY {order} LIMIT {limit} + 1 OFFSET {offset}) page) entries"""


def position(page: Page, key: Sequence[Column[Any]]) -> list[Any]:
    """Return the key that a page begins behind, empty for the first; for statements that look only at their part.

    Raises:
        Invalid: the cursor is none of this list's.
    """
    return _decode(page.cursor, key) if page.cursor is not None else []


def _encode(key: str) -> str:
    return base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


def _decode(cursor: str, key: Sequence[Column[Any]]) -> list[Any]:
    try:
        values = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        return [_read(value, column) for value, column in zip(list(values), key, strict=True)]
    except (ValueError, TypeError, AttributeError, binascii.Error, OverflowError) as error:
        problem = FieldProblem("cursor", "is not one that this list gave out")
        raise Invalid("The cursor cannot be read.", type="bad-cursor", fields=[problem]) from error


def _read(value: Any, column: Column[Any]) -> Any:
    kind = column.type.python_type
    if kind is datetime:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            raise ValueError("no zone")
        return moment.astimezone(UTC)  # here, where an instant out of range is refused
    if kind is UUID:
        return UUID(value)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise TypeError("another type")
    if kind is int and not -(2**63) <= value < 2**63:
        raise ValueError("out of range")
    if kind is str and "\x00" in value:
        raise ValueError("no text")
    return value
