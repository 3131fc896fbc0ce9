"""Prepare a cluster's database and bus: roles, schemas, streams. Runs before each release, and again safely.

`python -m deploy.k8s.provision` needs `REGENT_ADMIN_DATABASE_URL`, `REGENT_PASSWORDS` (a directory with a file per
database role), `REGENT_NATS_URL`, `REGENT_NKEY_SEED_FILE` (the provisioner's) and, if not three, `REGENT_STREAM_REPLICAS`.
`python -m deploy.k8s.provision accounts <directory>` prints the NATS server's accounts for the public nkeys in the files
`<directory>/<user>.pub`.
"""

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import quote, urlsplit, urlunsplit

import nats

from libs.common.bus.nats_config import accounts
from libs.common.bus.provision import provision as provision_bus
from libs.common.bus.topology import PROVISIONER, TOPOLOGY
from libs.common.migrations import migrate, provision

SERVICES = tuple(service.name for service in TOPOLOGY.services)
_THREE = "3"


@dataclass(frozen=True, slots=True)
class Provisioning:
    """What the job is told."""

    admin_url: str
    passwords: Mapping[str, str]
    nats_url: str
    seed: str
    replicas: int

    @classmethod
    def load(cls, environ: Mapping[str, str]) -> Self:
        """Read the environment.

        Raises:
            SystemExit: a variable or a role's password is missing.
        """
        try:
            return cls(
                admin_url=_text(environ, "REGENT_ADMIN_DATABASE_URL"),
                passwords=_passwords(Path(environ["REGENT_PASSWORDS"])),
                nats_url=environ["REGENT_NATS_URL"],
                seed=Path(environ["REGENT_NKEY_SEED_FILE"]).read_text(encoding="utf-8").strip(),
                replicas=int(environ.get("REGENT_STREAM_REPLICAS", _THREE)),
            )
        except (KeyError, OSError, ValueError) as error:
            raise SystemExit(f"provision: {error} is missing or wrong") from None

    def owner_url(self, service: str) -> str:
        """Return the administrator's URL with the service's owner in his place."""
        role = f"{service}_owner"
        parts = urlsplit(self.admin_url)
        place = parts.netloc.rpartition("@")[2]
        return urlunsplit(parts._replace(netloc=f"{quote(role)}:{quote(self.passwords[role], safe='')}@{place}"))


def _passwords(directory: Path) -> dict[str, str]:
    """Read a file per role; a mounted secret has hidden entries beside them."""
    files = [path for path in directory.iterdir() if path.is_file() and not path.name.startswith(".")]
    found = {path.name: path.read_text(encoding="utf-8").strip() for path in files}
    if missing := [f"{service}_owner" for service in SERVICES if f"{service}_owner" not in found]:
        raise KeyError(missing[0])
    return found


def _text(environ: Mapping[str, str], name: str) -> str:
    file = environ.get(f"{name}_FILE")
    return Path(file).read_text(encoding="utf-8").strip() if file else environ[name]


async def prepare(given: Provisioning) -> None:
    """Bring database and bus to what this release declares."""
    await provision(given.admin_url, SERVICES, given.passwords)
    for service in SERVICES:
        applied = await migrate(given.owner_url(service), service)
        print(f"{service}: {', '.join(applied) or 'at head'}")
    inbox = f"_INBOX_{PROVISIONER}".encode()
    client = await nats.connect(given.nats_url, nkeys_seed_str=given.seed, inbox_prefix=inbox)
    try:
        await provision_bus(client, TOPOLOGY, replicas=given.replicas)
    finally:
        await asyncio.wait_for(client.close(), 5)
    print(f"bus: streams with {given.replicas} replicas")


def account_section(directory: Path) -> str:
    """Return what the NATS server includes: every account with its users, grants and imports.

    Raises:
        OSError: a user's public key is missing.
    """
    keys = {user: (directory / f"{user}.pub").read_text(encoding="utf-8").strip() for user in TOPOLOGY.users}
    return f'accounts: {json.dumps(accounts(TOPOLOGY, keys), indent=2)}\nsystem_account: "$SYS"\n'


def main(arguments: list[str]) -> None:
    """Run the job, or print the accounts."""
    if arguments[:1] == ["accounts"] and len(arguments) > 1:
        print(account_section(Path(arguments[1])), end="")
    elif not arguments:
        asyncio.run(prepare(Provisioning.load(os.environ)))
    else:
        raise SystemExit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
