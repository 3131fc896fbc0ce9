"""The embedded PostgreSQL keeps its promises: passwords everywhere, durable, private."""

import asyncpg
import pytest

from deploy.local.postgres import Postgres


async def test_the_socket_asks_for_a_password(postgres_server: Postgres) -> None:
    """Being on the machine is not enough: the socket refuses a wrong password."""
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(postgres_server.url(password="wrong"))


async def test_tcp_asks_for_a_password(postgres_server: Postgres) -> None:
    """The same holds on loopback TCP."""
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(postgres_server.tcp_url(password="wrong"))


@pytest.mark.parametrize(("setting", "value"), [("fsync", "on"), ("full_page_writes", "on"), ("TimeZone", "UTC")])
async def test_settings_are_durable_and_plain(postgres_server: Postgres, setting: str, value: str) -> None:
    """Commits reach the disk, and time is UTC."""
    connection = await asyncpg.connect(postgres_server.tcp_url())
    try:
        assert await connection.fetchval("SELECT current_setting($1)", setting) == value
    finally:
        await connection.close()


def test_only_the_owner_reaches_the_socket(postgres_server: Postgres) -> None:
    """The directory of the socket is closed to other users."""
    assert postgres_server.socket.stat().st_mode & 0o777 == 0o700
