"""The key ring: what is wrong with it is said before the service listens; it turns without losing a row (S8)."""

import asyncio
import os
import sys
from pathlib import Path

import asyncpg
import pytest

from deploy.local import nats
from libs.common.crypto.keyring import KeyRing
from libs.common.settings import SettingsError
from services.auth.settings import Settings
from tests.auth.world import PASSWORD, Fresh, open_world, random_key, ring, settings

FIRST, SECOND = random_key(), random_key()
ENVIRONMENT = {
    "REGENT_DATABASE_URL": "postgresql://nowhere/x",
    "REGENT_RELAY_DATABASE_URL": "postgresql://nowhere/x",
    "REGENT_KEEPER_DATABASE_URL": "postgresql://nowhere/x",
    "REGENT_MAILER_DATABASE_URL": "postgresql://nowhere/x",
    "REGENT_SMTP_URL": "smtps://nowhere",
    "REGENT_MAIL_FROM": "regent@regent.test",
    "REGENT_NATS_URL": "nats://127.0.0.1:1",
    "REGENT_NKEY_SEED_FILE": "/dev/null",
    "REGENT_OBJECTS": "file:///nowhere",
    "REGENT_LISTEN_PORT": "1",
    "REGENT_PUBLIC_URL": "https://regent.test",
}
MALFORMED = {
    "no json": "k1:abc",
    "empty": "",
    "a list": "[]",
    "no active": '{"keys": {"k1": "QUJD"}}',
    "no keys": '{"active": "k1"}',
    "keys as list": '{"active": "k1", "keys": ["QUJD"]}',
    "no base64": '{"active": "k1", "keys": {"k1": "!!"}}',
    "short": '{"active": "k1", "keys": {"k1": "QUJD"}}',
    "active unknown": ring("k2", k1=FIRST),
    "key null": '{"active": "k1", "keys": {"k1": null}}',
    "twice": ring("k1", k1=FIRST, k2=FIRST),
    "id twice": ring("k1", k1=FIRST).replace('"keys":{', '"keys":{"k1":"x",'),
    "strange id": ring("K 1", **{"K 1": FIRST}),
    "more than it should": ring("k1", k1=FIRST).replace("{", '{"more":1,', 1),
    "wrapped, but no KMS": '{"active": "k1", "keys": {"k1": {"kms": "a", "wrapped": "QUJD"}}}',
    "zeros": ring("k1", k1=bytes(32)),
    "counted up": ring("k1", k1=bytes(range(32))),
    "a passphrase": ring("k1", k1=b"correct horse battery staple 123"),
    "hexadecimal": ring("k1", k1=FIRST[:16].hex().encode()),
    "a half twice": ring("k1", k1=FIRST[:16] * 2),
}


@pytest.mark.parametrize("text", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_ring_is_named(text: str) -> None:
    """The message names the variable and never shows a key (S8)."""
    with pytest.raises(SettingsError) as refusal:
        KeyRing.parse(text)
    assert "REGENT_KEYRING" in str(refusal.value)
    assert "QUJD" not in str(refusal.value)


def test_a_missing_ring_is_named() -> None:
    """No ring, or a file that is not there, is said plainly (S8)."""
    with pytest.raises(SettingsError, match="REGENT_KEYRING"):
        Settings.load(ENVIRONMENT)
    with pytest.raises(SettingsError, match="REGENT_KEYRING_FILE names /nonexistent"):
        Settings.load({**ENVIRONMENT, "REGENT_KEYRING_FILE": "/nonexistent"})


async def test_the_process_ends_before_it_listens() -> None:
    """Started with a malformed ring, the process exits with the reason and no traceback (S8)."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.auth.main",
        env={"PATH": os.environ["PATH"], **ENVIRONMENT, "REGENT_KEYRING": "{}"},
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 1
    assert said.decode().strip().startswith("configuration: REGENT_KEYRING is malformed")


async def test_a_wrong_key_is_named_at_start(fresh: Fresh, other_nats: nats.Nats, tmp_path: Path) -> None:
    """Another key under the known id stops the service, and so does a ring that lacks a needed key (S8)."""
    async with open_world(fresh.urls, other_nats, tmp_path, keyring=ring("k1", k1=FIRST)):
        pass
    with pytest.raises(SettingsError, match="another key than the one that sealed the stored secrets: k1"):
        async with open_world(fresh.urls, other_nats, tmp_path, keyring=ring("k1", k1=SECOND)):
            pass
    with pytest.raises(SettingsError, match=r"lacks keys that stored secrets need: k1 .protects 1 tenants"):
        async with open_world(fresh.urls, other_nats, tmp_path, keyring=ring("k2", k2=SECOND)):
            pass


async def test_a_ring_turns_without_losing_a_row(fresh: Fresh, other_nats: nats.Nats, tmp_path: Path) -> None:
    """After the active key changed, everything is wrapped anew, and the old key can go (S8)."""
    async with open_world(fresh.urls, other_nats, tmp_path, keyring=ring("k1", k1=FIRST)) as world:
        tenant = await world.tenant()
    async with open_world(fresh.urls, other_nats, tmp_path, keyring=ring("k2", k1=FIRST, k2=SECOND)):
        await until_wrapped_by(fresh, "k2")
    async with open_world(fresh.urls, other_nats, tmp_path, keyring=ring("k2", k2=SECOND)) as world:
        async with world.client() as http:
            answer = await http.post("/v1/login", json={"email": tenant.email, "password": PASSWORD})
        assert answer.status_code == 200


async def until_wrapped_by(fresh: Fresh, key_id: str) -> None:
    connection = await asyncpg.connect(fresh.urls["auth_keeper"], server_settings={"search_path": "auth"})
    query = "SELECT array_agg(DISTINCT key_id) FROM data_key"
    async with asyncio.timeout(60):
        while await connection.fetchval(query) != [key_id]:  # noqa: ASYNC110 - another process works
            await asyncio.sleep(0.1)
    await connection.close()


def test_settings_show_no_secret(fresh: Fresh, other_nats: nats.Nats, tmp_path: Path) -> None:
    """Printing the settings shows neither the ring nor a password."""
    shown = repr(settings(fresh.urls, other_nats, tmp_path, keyring=ring("k1", k1=FIRST)))
    assert "keys" not in shown
    assert "auth_keeper:" not in shown
