"""One row for any table, made from its columns' types and its CHECK constraints."""

import re
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

import asyncpg

from tests.architecture.catalogue import TableName, columns, quoted

# Text that PostgreSQL's input functions read; small numbers satisfy ordering checks, eight also "every eighth level".
_VALUES = {
    "bool": "false",
    "date": "2026-03-31",
    "jsonb": "{}",
    "_text": "{}",
    "_bytea": "{}",
    "_uuid": "{}",
    "_int8": "{}",
    "float8": "1",
    "timestamptz": "2026-03-31T00:00:00Z",
}
_NUMBERS = ("int2", "int4", "int8")
_ENUMERATED = re.compile(r"\(?(\w+) = ANY \(ARRAY\[([^\]]*)\]")
_EQUAL = re.compile(r"\((\w+) = '([^']*)'::text\)")
_LENGTH = re.compile(r"length\((\w+)\) = (\d+)")


async def insert(admin: Any, table: TableName, tenant: UUID, seed: int) -> None:
    """Insert a row of a tenant as an administrator, for whom neither policies nor foreign keys are asked.

    Raises:
        AssertionError: no combination of values satisfies the table's constraints.
    """
    reasons = []
    for row in await candidates(admin, table, tenant, seed):
        try:
            async with admin.transaction():
                await admin.execute("SET LOCAL session_replication_role = replica")
                await admin.execute(statement(table, row), *row.values())
                await admin.execute("SET LOCAL session_replication_role = origin")
        except asyncpg.IntegrityConstraintViolationError as error:
            reasons.append(str(error))
        else:
            return
    raise AssertionError(f"no row for {table}: {reasons}")


def statement(table: TableName, row: Mapping[str, str]) -> str:
    """Return the INSERT of a row whose values are all given as text."""
    names = ", ".join(f'"{name}"' for name in row)
    values = ", ".join(f"${position}::text::{kind}" for position, kind in enumerate(_kinds(table, row), 1))
    return f"INSERT INTO {quoted(table)} ({names}) VALUES ({values})"


_TYPES: dict[str, dict[str, str]] = {}


def _kinds(table: TableName, row: Mapping[str, str]) -> list[str]:
    return [_TYPES[str(table)][name] for name in row]


async def candidates(admin: Any, table: TableName, tenant: UUID, seed: int) -> list[dict[str, str]]:
    """Return rows to try: with no optional value, with all of them, with each one alone or left out."""
    found = [column for column in await columns(admin, table) if not column["made"]]
    _TYPES[str(table)] = {column["name"]: column["type"] for column in found}
    checks = await _checks(admin, table)
    many = {column["name"]: _value(column, tenant, seed, checks) for column in found}
    none = {name: "0" if _TYPES[str(table)][name] in _NUMBERS else value for name, value in many.items()}
    needed = [column["name"] for column in found if not column["nullable"]]
    optional = [column["name"] for column in found if column["nullable"]]
    return [{name: row[name] for name in (*needed, *chosen)} for row in (many, none) for chosen in _choices(optional)]


def _choices(optional: list[str]) -> Iterator[list[str]]:
    yield []
    yield optional
    yield from ([name] for name in optional)
    yield from ([name for name in optional if name != left] for left in optional)
    yield from ([one, two] for one in optional for two in optional if one < two)


async def _checks(admin: Any, table: TableName) -> str:
    found = await admin.fetch(
        "SELECT pg_get_constraintdef(oid) AS text FROM pg_constraint WHERE conrelid = $1::text::regclass AND contype = 'c'",
        str(table),
    )
    return "\n".join(row["text"] for row in found)


def _value(column: Any, tenant: UUID, seed: int, checks: str) -> str:
    name, kind = column["name"], column["type"]
    if name == "tenant_id":
        return str(tenant)
    if kind == "uuid":
        return str(UUID(int=seed, version=4))
    if kind == "text":
        return _text(name, seed, checks)
    if kind == "bytea":
        length = next((int(size) for named, size in _LENGTH.findall(checks) if named == name), 32)
        return "\\x" + f"{seed % 251:02x}" * length
    if kind in _NUMBERS:
        return str(8 * seed)
    if kind not in _VALUES:
        raise AssertionError(f"a column of type {kind}: say here what a value looks like")
    return _VALUES[kind]


def _text(name: str, seed: int, checks: str) -> str:
    lists = [re.findall(r"'([^']*)'", values) for named, values in _ENUMERATED.findall(checks) if named == name]
    single = [[value] for named, value in _EQUAL.findall(checks) if named == name]
    # a column that several checks name may hold all values of the longest list
    return max([*lists, *single], key=len, default=[f"made-up-{seed}"])[0]
