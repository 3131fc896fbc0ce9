"""A running service follows its key ring's file: a sound one is taken over, a bad one refused while it serves on (S8)."""

from pathlib import Path

import asyncpg
import pytest

from deploy.local import nats
from libs.common.context import Context
from libs.common.crypto.holdings import DATA_KEYS, retire
from libs.common.crypto.rings import RingWatch
from libs.common.database.pool import Database
from libs.common.errors import Conflict
from libs.common.ids import SYSTEM_TENANT
from tests.auth.test_keyring import FIRST, SECOND, until_wrapped_by
from tests.auth.world import Fresh, open_world, random_key, ring, settings


async def test_a_running_service_takes_a_new_key_up(fresh: Fresh, other_nats: nats.Nats, tmp_path: Path) -> None:
    """Without a restart everything goes over to the file's new active key, and logins go on (S8)."""
    file = tmp_path / "ring.json"
    file.write_text(ring("k1", k1=FIRST))
    async with open_world(fresh.urls, other_nats, tmp_path, keyring=file.read_text(), keyring_file=file) as world:
        tenant = await world.tenant()
        file.write_text(ring("k2", k1=FIRST, k2=SECOND))
        await until_wrapped_by(fresh, "k2")
        assert await tenant.login()


@pytest.mark.parametrize(
    "text", ["{}", ring("k1", k1=SECOND), ring("k2", k2=bytes(32))], ids=["malformed", "another key", "weak"]
)
async def test_a_bad_ring_is_refused_while_running(
    fresh: Fresh, other_nats: nats.Nats, tmp_path: Path, text: str
) -> None:
    """The ring in memory stays as it was (S8)."""
    file = tmp_path / "ring.json"
    file.write_text(ring("k1", k1=FIRST))
    given = settings(fresh.urls, other_nats, tmp_path, keyring=file.read_text(), keyring_file=file)
    async with Database.open(fresh.urls["auth_server"], service="auth", size=1) as database:
        watch = await RingWatch.open(given, database)
        file.write_text(text)
        assert not await watch.refresh()
        assert (watch.ring.active, watch.ring.ids()) == ("k1", {"k1"})


async def test_a_needed_key_is_not_retired(fresh: Fresh, other_nats: nats.Nats, tmp_path: Path) -> None:
    """Retiring names what still needs the key; once it is retired nothing can be stored under it (S8)."""
    async with open_world(fresh.urls, other_nats, tmp_path, keyring=ring("k1", k1=FIRST)):
        pass
    third = random_key()
    async with open_world(fresh.urls, other_nats, tmp_path, keyring=ring("k3", k1=FIRST, k3=third)):
        await until_wrapped_by(fresh, "k3")
    async with Database.open(fresh.urls["auth_keeper"], service="auth", role="keeper", size=1) as keeper:
        with pytest.raises(Conflict, match="Key k3 still protects 1 tenants' data keys of auth"):
            async with keeper.transaction(Context(SYSTEM_TENANT, "service:test")) as tx:
                await retire(tx, DATA_KEYS, "k3")
        async with keeper.transaction(Context(SYSTEM_TENANT, "service:test")) as tx:
            await retire(tx, DATA_KEYS, "k1")
        with pytest.raises(asyncpg.ForeignKeyViolationError):
            async with keeper.transaction(Context(SYSTEM_TENANT, "service:test")) as tx:
                await tx.connection.execute("UPDATE data_key SET key_id = 'k1'")
