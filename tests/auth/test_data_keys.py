"""A tenant's data key turns: what is sealed goes over to a new version while it is used, and the old one goes (S8)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from deploy.local import nats
from libs.common.context import Context
from libs.common.crypto import resealing, versions
from libs.common.crypto.keyring import KeyRing, Place, UnreadableSecretError, WrappedKey, sealing_version
from libs.common.crypto.resealing import Resealer, left
from libs.common.crypto.rings import RingWatch
from libs.common.crypto.vault import Vault
from libs.common.database.pool import Database
from libs.common.errors import Unavailable
from libs.common.ids import SYSTEM_TENANT
from services.auth.sealed import SEALED
from tests.auth.test_keyring import FIRST, SECOND
from tests.auth.world import Fresh, ring, settings

ROWS = 450
ADD = "INSERT INTO own_secret (tenant_id, name, sealed, created_at) VALUES ($1, $2, $3, now())"
READ = "SELECT name, sealed FROM own_secret ORDER BY name"


class Keys:
    """Secrets of one tenant in a database of their own, and what seals them."""

    def __init__(self, database: Database, keeper: Database, watch: RingWatch) -> None:
        self.database = database
        self.watch = watch
        self.vault = Vault(watch)
        self.tenant = uuid4()
        self.resealer = Resealer(database, keeper, SEALED)

    @asynccontextmanager
    async def acting(self, tenant: UUID | None = None) -> AsyncIterator[Any]:
        async with self.database.transaction(Context(tenant or self.tenant, "service:test")) as tx:
            yield tx

    async def add(self, name: str, secret: bytes) -> None:
        async with self.acting() as tx:
            place = {"table": "own_secret", "column": "sealed", "row": name}
            sealed = await self.vault.seal(tx, **place, secret=secret)
            await tx.connection.execute(ADD, self.tenant, name, sealed)

    async def add_many(self) -> None:
        """Add secrets as they were sealed before there were versions."""
        await self.add("first", b"first")
        async with self.acting() as tx:
            (key,) = await versions.all_versions(tx)
            for number in range(ROWS):
                place = Place(self.tenant, "own_secret", "sealed", f"{number:04}")
                plain = WrappedKey(key.key_id, key.wrapped)
                sealed = self.watch.ring.seal(plain, place, str(number).encode())
                await tx.connection.execute(ADD, self.tenant, place.row, sealed)

    async def turn(self) -> bool:
        async with self.acting() as tx:
            return await versions.begin_turning(tx, self.watch.ring)

    async def under(self) -> set[int]:
        """Return the versions that secrets are sealed under, after each was opened."""
        found = set()
        async with self.acting() as tx:
            for row in await tx.connection.fetch(READ):
                place = {"table": "own_secret", "column": "sealed", "row": row["name"]}
                opened = await self.vault.open(tx, **place, sealed=row["sealed"])
                assert opened == (row["name"].lstrip("0") or "0").encode()
                found.add(sealing_version(row["sealed"]))
        return found

    async def versions(self) -> list[int]:
        async with self.acting() as tx:
            return [key.version for key in await versions.all_versions(tx)]


@pytest.fixture
async def keys(fresh: Fresh, other_nats: nats.Nats, tmp_path: Path) -> AsyncIterator[Keys]:
    given = settings(fresh.urls, other_nats, tmp_path, keyring=ring("k1", k1=FIRST))
    async with (
        Database.open(fresh.urls["auth_server"], service="auth", size=3) as database,
        Database.open(fresh.urls["auth_keeper"], service="auth", role="keeper", size=1) as keeper,
    ):
        made = Keys(database, keeper, await RingWatch.open(given, database))
        async with made.acting(SYSTEM_TENANT) as tx:
            await tx.connection.execute("INSERT INTO tenant VALUES ($1, 'system', 'active', now())", SYSTEM_TENANT)
        yield made


async def test_everything_goes_over_and_the_old_version_goes(keys: Keys) -> None:
    """Old and new are readable all the while; the last round, which found nothing, removes what is not needed."""
    await keys.add_many()
    assert await keys.turn()
    assert await keys.under() == {0, 1}
    async with keys.acting() as tx:
        assert await left(tx, SEALED) == ROWS + 1
    await keys.resealer.go_on(keys.watch.ring)
    assert await keys.under() == {2}
    assert await keys.versions() == [2, 1]
    await keys.resealer.go_on(keys.watch.ring)
    assert await keys.versions() == [2]
    assert await keys.under() == {2}


async def test_what_is_new_is_sealed_under_the_new_version(keys: Keys) -> None:
    """From the moment that it is there, and not only when all is done."""
    await keys.add("a", b"a")
    await keys.turn()
    await keys.add("b", b"b")
    assert await keys.under() == {1, 2}


async def test_who_seals_makes_the_next_version_wait(keys: Keys) -> None:
    """Nothing is sealed under a version after the next one was begun."""
    await keys.add("a", b"a")
    async with keys.acting() as sealing:
        await keys.vault.seal(sealing, table="own_secret", column="sealed", row="b", secret=b"b")
        async with keys.acting() as tx:
            await tx.connection.execute("SET LOCAL lock_timeout = '200ms'")
            with pytest.raises(Exception, match="lock timeout"):
                await versions.begin_turning(tx, keys.watch.ring)
            await tx.connection.execute("ROLLBACK; BEGIN")
    assert await keys.versions() == [1]


async def test_a_turning_that_was_stopped_goes_on(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    """After every single batch it may end: what is left is what an earlier version sealed."""
    await keys.add_many()
    await keys.turn()
    done = 0

    class Killed(Exception):  # noqa: N818 - it stands for the end of the process
        pass

    async def once(*given: Any) -> Any:
        nonlocal done
        if done:
            raise Killed
        done += 1
        return await reseal(*given)

    reseal = resealing.reseal
    monkeypatch.setattr(resealing, "reseal", once)
    remaining = []
    for _ in range(9):
        done = 0
        with pytest.raises(Killed):
            await keys.resealer.go_on(keys.watch.ring)
        async with keys.acting() as tx:
            remaining.append(await left(tx, SEALED))
    monkeypatch.undo()
    assert remaining[:3] == [ROWS + 1 - 200, ROWS + 1 - 400, 0]
    assert await keys.versions() == [2, 1]
    await keys.resealer.go_on(keys.watch.ring)
    assert (await keys.versions(), await keys.under()) == ([2], {2})


async def test_turning_twice_at_once_is_turning_once(keys: Keys) -> None:
    """Begun again while it goes on, it goes on; afterwards there is a next version."""
    await keys.add("a", b"a")
    assert await keys.turn()
    assert await keys.turn()
    assert await keys.versions() == [2, 1]
    for _ in range(2):
        await keys.resealer.go_on(keys.watch.ring)
    await keys.turn()
    assert await keys.versions() == [3, 2]


async def test_a_tenant_without_secrets_has_nothing_to_turn(keys: Keys) -> None:
    """No key is made for nothing."""
    assert not await keys.turn()
    assert await keys.versions() == []


async def test_a_secret_that_does_not_open_keeps_the_old_version(keys: Keys) -> None:
    """It is named and left alone, the others go over, and no key is thrown away that it may need."""
    await keys.add("a", b"a")
    await keys.add("b", b"b")
    async with keys.acting() as tx:
        await tx.connection.execute("UPDATE own_secret SET sealed = sealed || 'x' WHERE name = 'b'")
    await keys.turn()
    for _ in range(3):
        await keys.resealer.go_on(keys.watch.ring)
    assert await keys.versions() == [2, 1]
    async with keys.acting() as tx:
        assert await left(tx, SEALED) == 1


async def test_every_step_is_an_event_of_the_tenant(keys: Keys) -> None:
    """Begun, gone over, done: with versions and numbers, and without a key."""
    await keys.add("a", b"a")
    await keys.turn()
    for _ in range(2):
        await keys.resealer.go_on(keys.watch.ring)
    async with keys.acting() as tx:
        last = await tx.connection.fetchval("SELECT value FROM entity_sequence WHERE entity_id = 'data-key:auth'")
    assert last == 3


async def test_a_ring_that_the_service_does_not_know_turns_nothing(keys: Keys) -> None:
    """A version is wrapped by a key that the service has taken up, or not made."""
    await keys.add("a", b"a")
    other = KeyRing.parse(ring("k9", k1=FIRST, k9=SECOND))
    with pytest.raises(Unavailable, match="has not taken up key k9"):
        async with keys.acting() as tx:
            await versions.begin_turning(tx, other)
    assert await keys.versions() == [1]


async def test_a_version_cannot_be_relabelled(keys: Keys) -> None:
    """The version is authenticated: its number in front of a secret cannot be changed."""
    await keys.add("a", b"a")
    await keys.turn()
    async with keys.acting() as tx:
        newest, oldest = await versions.all_versions(tx)
        place = Place(keys.tenant, "own_secret", "sealed", "a")
        sealed = keys.watch.ring.seal(oldest, place, b"a")
        twisted = newest.header + sealed.removeprefix(oldest.header)
        same = WrappedKey(oldest.key_id, oldest.wrapped, newest.version)
        with pytest.raises(UnreadableSecretError):
            keys.watch.ring.open(same, place, twisted)
