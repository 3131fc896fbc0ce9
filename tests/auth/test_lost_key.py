"""A lost or wrong key is named at start by each service that keeps secrets; auth's own cases are in `test_keyring` (S8)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from deploy.local import nats, postgres
from libs.common.app import Service, running
from libs.common.context import Context
from libs.common.ids import SYSTEM_TENANT
from libs.common.migrations import migrate, provision
from libs.common.settings import SettingsError
from services.audit import main as audit
from services.audit.settings import AuditSettings
from services.catalog import main as catalog
from services.catalog.settings import Settings as CatalogSettings
from tests.auth.test_keyring import FIRST, SECOND
from tests.auth.world import NUMBERS, ring


async def database_of(service: str, databases: Mapping[str, str], server: postgres.Postgres) -> dict[str, str]:
    """Make a database with one service's schema; returns its URLs by role."""
    name = f"lost_{next(NUMBERS)}"
    connection = await asyncpg.connect(server.url())
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()
    await provision(server.url(database=name), [service], {})
    urls = {role: url.replace("/regent?", f"/{name}?") for role, url in databases.items()}
    await migrate(urls[f"{service}_owner"], service)
    return urls


def declared(service: str, urls: Mapping[str, str], bus: nats.Nats, folder: Path, keyring: str) -> Service:
    """Return a service with a ring."""
    common: dict[str, Any] = {
        "database_url": urls[f"{service}_server"],
        "relay_database_url": urls[f"{service}_relay"],
        "nats_url": bus.url,
        "nkey_seed_file": bus.seeds[service],
        "objects": (folder / "objects").as_uri(),
        "listen_port": 1,
        "public_url": "https://regent.test",
        "keyring": keyring,
    }
    if service == "catalog":
        return catalog.service(CatalogSettings(**common, keeper_database_url=urls["catalog_keeper"]))
    roles = {"writer_database_url": urls["audit_writer"], "signer_database_url": urls["audit_signer"]}
    return audit.declare(AuditSettings(**common, **roles))


@pytest.mark.parametrize(
    ("service", "protects"), [("catalog", "tenants' data keys"), ("audit", "keys that sign checkpoints")]
)
async def test_a_service_names_the_key_that_it_lacks(
    databases: dict[str, str],
    postgres_server: postgres.Postgres,
    other_nats: nats.Nats,
    tmp_path: Path,
    service: str,
    protects: str,
) -> None:
    """It does not start without the key that sealed what is stored, nor with another one under its name."""
    urls = await database_of(service, databases, postgres_server)
    async with running(declared(service, urls, other_nats, tmp_path, ring("k1", k1=FIRST))) as runtime:
        if service == "catalog":
            async with runtime.database.transaction(Context(SYSTEM_TENANT, "service:test")) as tx:
                await runtime.extras["vault"].seal(tx, table="secret", column="sealed", row="x", secret=b"x")
    with pytest.raises(SettingsError, match=rf"lacks keys that stored secrets need: k1 \(protects 1 {protects}\)"):
        async with running(declared(service, urls, other_nats, tmp_path, ring("k2", k2=SECOND))):
            pass
    with pytest.raises(SettingsError, match="another key than the one that sealed the stored secrets: k1"):
        async with running(declared(service, urls, other_nats, tmp_path, ring("k1", k1=SECOND))):
            pass


@pytest.mark.parametrize(
    ("given", "seconds"),
    [({}, 300), ({"lease_seconds": 60}, 60), ({"credential_lease_seconds": 90, "lease_seconds": 60}, 90)],
)
def test_loans_are_as_long_as_either_name_says(given: dict[str, int], seconds: int) -> None:
    """The setting's earlier name still counts, where the present one is not given."""
    urls = dict.fromkeys(("database_url", "relay_database_url", "keeper_database_url", "nats_url"), "x://y")
    more = {"nkey_seed_file": "/x", "objects": "file:///x", "listen_port": 1, "public_url": "x", "keyring": "x"}
    assert CatalogSettings(**urls, **more, **given).lent_seconds == seconds
