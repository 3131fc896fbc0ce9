"""S13: what the code believes of the database is what the migrations make of it."""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import asyncpg
import pytest
from sqlalchemy import Table, types
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from libs.common.definitions import tables as definitions
from libs.common.migrations import service_folder
from tests.architecture.source import SERVICES, Module, modules
from tests.architecture.test_sql import in_data_engine

_KINDS: tuple[tuple[type[types.TypeEngine[Any]], set[str]], ...] = (
    (types.Uuid, {"uuid"}),
    (types.DateTime, {"timestamptz"}),
    (types.Date, {"date"}),
    (types.Boolean, {"bool"}),
    (types.Integer, {"int2", "int4", "int8"}),
    (types.Float, {"float8"}),
    (types.LargeBinary, {"bytea"}),
    (types.String, {"text"}),
    (JSONB, {"jsonb"}),
)
_SHARED = {"definitions/owner.sql": ("definition", "definition_version", "definition_reference"),
           "definitions/copies.sql": ("known_definition", "known_dependent"),
           "definitions/gate.sql": ("publication_policy", "proposal")}  # fmt: skip
# Columns that the database itself writes, and that the shared tables' code does not know.
INTERNAL: dict[str, set[str]] = {"validator.definition": {"external_id"}}


def submodules(name: str) -> Iterator[ModuleType]:
    """Yield a package's modules, imported; a plain module yields itself."""
    module = importlib.import_module(name)
    yield module
    for found in pkgutil.walk_packages(getattr(module, "__path__", ()), f"{name}."):
        yield importlib.import_module(found.name)


def declared(service: str) -> dict[str, Table]:
    """Return the tables that a service's code declares, and those that it shares."""
    found = {
        value.name: value
        for module in submodules(f"services.{service}")
        for value in vars(module).values()
        if isinstance(value, Table) and value.metadata is not definitions.METADATA
    }
    shared = (
        (service_folder(service) / "migrations" / "shared.txt").read_text(encoding="utf-8").split()
        if _shares(service)
        else []
    )
    names = [name for file in shared for name in _SHARED.get(file, ())]
    return found | {name: definitions.METADATA.tables[name] for name in names}


def _shares(service: str) -> bool:
    return (service_folder(service) / "migrations" / "shared.txt").exists()


async def actual(admin: Any, service: str, table: str) -> dict[str, str]:
    """Return a table's columns as they are: name → type."""
    rows = await admin.fetch(
        "SELECT column_name, udt_name FROM information_schema.columns WHERE table_schema = $1 AND table_name = $2",
        service,
        table,
    )
    return dict(rows)


def kinds(column_type: types.TypeEngine[Any]) -> set[str]:
    """Return the PostgreSQL types that a column of this SQLAlchemy type may have."""
    if isinstance(column_type, ARRAY):
        return {f"_{kind}" for kind in kinds(column_type.item_type)}
    return next(allowed for kind, allowed in _KINDS if isinstance(column_type, kind))


@pytest.mark.parametrize("service", SERVICES)
async def test_declared_tables_are_the_real_ones(admin: Any, service: str) -> None:
    """S13: each table in code has exactly the columns of the table in the database, with types that fit."""
    faults = []
    for name, table in declared(service).items():
        real = await actual(admin, service, name)
        believed = {column.name for column in table.columns}
        faults += [f"{name}.{column} is not in the {side}" for side, missing in
                   (("database", believed - real.keys()), ("code", real.keys() - believed - INTERNAL.get(f"{service}.{name}", set())))
                   for column in sorted(missing)]  # fmt: skip
        faults += [
            f"{name}.{column.name} is {real[column.name]}, the code says {column.type}"
            for column in table.columns
            if column.name in real and real[column.name] not in kinds(column.type)
        ]
    assert declared(service)
    assert faults == []


_STATEMENT = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\s")


def statements(module: Module) -> dict[str, str]:
    """Return the constant statements of a module by name."""
    values = vars(importlib.import_module(module.name))
    return {
        name: value
        for name, value in values.items()
        if isinstance(value, str)
        and name.isupper()
        and _STATEMENT.match(value)
        and f"\n{name} = " in f"\n{module.text}"
    }


@pytest.mark.parametrize("service", SERVICES)
async def test_every_constant_statement_fits_the_schema(databases: dict[str, str], service: str) -> None:
    """S13: PostgreSQL can plan each statement of a service: every table, column and type in it exists."""
    connection = await asyncpg.connect(databases[f"{service}_server"], server_settings={"search_path": service})
    faults, planned = [], 0
    try:
        for module in modules(f"services/{service}"):
            for name, sql in ({} if in_data_engine(module) else statements(module)).items():
                planned += 1
                if (fault := await _fault(connection, sql)) is not None:
                    faults.append(f"{module.path} {name}: {fault}")
    finally:
        await connection.close()
    assert faults == []
    assert planned or service == "catalog"  # all of catalog's statements are Core's


async def test_every_shared_statement_fits_a_schema(databases: dict[str, str]) -> None:
    """S13: each constant statement of the libraries can be planned in a schema that has its tables."""
    wanted = {(module.path, name): sql for module in modules("libs/common") for name, sql in statements(module).items()}
    faults = dict.fromkeys(wanted, "")
    for service in SERVICES:
        connection = await asyncpg.connect(databases[f"{service}_server"], server_settings={"search_path": service})
        try:
            for place, sql in wanted.items():
                faults[place] = faults[place] if faults[place] is None else await _fault(connection, sql)
        finally:
            await connection.close()
    assert {place: fault for place, fault in faults.items() if fault is not None} == {}


async def _fault(connection: Any, sql: str) -> str | None:
    try:
        await connection.prepare(sql)
    except asyncpg.InsufficientPrivilegeError:
        return None  # the statement of a worker's role; its tables and columns exist
    except asyncpg.PostgresError as error:
        return str(error)
    return None
