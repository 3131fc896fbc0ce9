"""Every column that holds secrets is declared, so that none is forgotten when a data key turns."""

from typing import Any

import pytest

from libs.common.crypto.resealing import SealedColumn
from services.auth.sealed import SEALED as AUTH
from services.catalog.sealed import SEALED as CATALOG
from tests.architecture import catalogue

DECLARED = {"auth": AUTH, "catalog": CATALOG}
# sealed under a key that stands beside it, not under the tenant's data key
OWN_KEY = {("auth", "key_canary"), ("catalog", "key_canary")}


@pytest.mark.parametrize("service", DECLARED)
async def test_every_sealed_column_is_declared(admin: Any, service: str) -> None:
    """What the database has under this name, `SEALED` has."""
    found = await admin.fetch(
        "SELECT table_name AS name, column_name AS column FROM information_schema.columns "
        "WHERE table_schema = $1 AND (column_name ~ 'sealed' OR column_name ~ 'cipher')",
        service,
    )
    there = {(row["name"], row["column"]) for row in found if (service, row["name"]) not in OWN_KEY}
    assert there == {(each.table, each.column) for each in DECLARED[service]}


@pytest.mark.parametrize(
    ("service", "column"),
    [(s, c) for s, columns in DECLARED.items() for c in columns],
    ids=lambda x: getattr(x, "table", x),
)
async def test_the_serving_role_can_seal_anew(admin: Any, service: str, column: SealedColumn) -> None:
    """It may read and replace what it has to, in a table whose rows are a tenant's or all the system's."""
    for privilege in ("SELECT", "UPDATE"):
        asked = "SELECT has_column_privilege($1, $2, $3, $4)"
        name = f"{service}.{column.table}"
        assert await admin.fetchval(asked, f"{service}_server", name, column.column, privilege)
    assert column.tenants == (column.table in {table.name for table in await catalogue.tables(admin, service)})
