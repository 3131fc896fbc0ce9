"""How the command line reaches auth's database: by the environment, or by what the launcher keeps in REGENT_DATA."""

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote, urlencode

from nats.aio.client import Client

from deploy.local import nats, postgres
from deploy.local.configuration import Configuration
from deploy.local.database import DATABASE
from libs.common.bus.topology import PROVISIONER
from libs.common.database.pool import Database
from libs.common.settings import SettingsError

_PORT_LINE, _SOCKET_LINE = 3, 4
_VARIABLES = {
    "server": "REGENT_DATABASE_URL",
    "keeper": "REGENT_KEEPER_DATABASE_URL",
    "mailer": "REGENT_MAILER_DATABASE_URL",
}


@asynccontextmanager
async def auth_database(role: str = "server") -> AsyncIterator[Database]:
    """Open auth's database as one of its roles.

    Raises:
        SettingsError: nothing says where it is, or the server is not running.
    """
    url = os.environ.get(_VARIABLES[role]) or _local_url(f"auth_{role}")
    async with Database.open(url, service="auth", role=f"cli-{role}", size=2) as database:
        yield database


@asynccontextmanager
async def database_of(service: str, role: str = "server") -> AsyncIterator[Database]:
    """Open a service's database as one of its roles.

    Raises:
        SettingsError: nothing says where it is, or the server is not running.
    """
    url = _local_url(f"{service}_{role}")
    async with Database.open(url, service=service, role=f"cli-{role}", size=2) as database:
        yield database


@asynccontextmanager
async def bus() -> AsyncIterator[Client]:
    """Connect to the bus as the provisioner: the operator's own key.

    Raises:
        SettingsError: nothing says where it is.
    """
    data = Configuration.load().data
    ports = data / "ports.json"
    if not ports.exists():
        raise SettingsError(f"regent: {data} holds no data of Regent; set REGENT_DATA")
    server = nats.prepare(data / "nats", data / "secrets", json.loads(ports.read_text(encoding="utf-8"))["nats"])
    async with server.connect(PROVISIONER) as client:
        yield client


def public_url() -> str:
    """Return the gateway's URL as users see it."""
    return os.environ.get("REGENT_PUBLIC_URL") or Configuration.load().public_url


def _local_url(role: str) -> str:
    data = Configuration.load().data
    try:
        passwords: dict[str, str] = json.loads((data / "secrets" / "database.json").read_text(encoding="utf-8"))
        password = passwords[role]
    except (OSError, ValueError, KeyError):
        raise SettingsError(f"regent: {data} holds no data of Regent; set REGENT_DATA") from None
    place = urlencode(_place(data / "postgres"))
    return f"postgresql://{quote(role)}:{quote(password, safe='')}@/{quote(DATABASE)}?{place}"


def _place(home: Path) -> dict[str, str]:
    """Return where the running server listens, as its own lock file says."""
    outside = postgres.other_place(home) / "cluster"  # where it lives if a namespace was refused
    for data in (home / "data", outside / "data"):
        lock = data / "postmaster.pid"
        if lock.exists():
            lines = lock.read_text(encoding="utf-8").splitlines()
            return {"host": lines[_SOCKET_LINE], "port": lines[_PORT_LINE]}
    raise SettingsError(f"regent: PostgreSQL does not run in {home}; start Regent first")
