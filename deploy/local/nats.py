"""NATS with JetStream, an account per service and a key per account."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import nkeys
from nats.aio.client import Client

from deploy.local.files import private_directory, write_secret
from deploy.local.processes import Program, binary, listens
from libs.common.bus.nats_config import server_config
from libs.common.bus.provision import provision
from libs.common.bus.topology import PROVISIONER, TOPOLOGY, Topology


@dataclass(frozen=True, slots=True)
class Nats:
    """Where one server listens and where each user's seed is kept."""

    config: Path
    port: int
    seeds: Mapping[str, Path]
    topology: Topology = TOPOLOGY

    @property
    def url(self) -> str:
        """The server's address; it says nothing without a key."""
        return f"nats://127.0.0.1:{self.port}"

    def program(self, name: str = "nats") -> Program:
        """Return the server as a program."""
        command = (str(binary("nats-server")), "-c", str(self.config))
        return Program(name=name, command=command, ready=partial(listens, self.port))

    @asynccontextmanager
    async def connect(self, user: str) -> AsyncIterator[Client]:
        """Connect as one of the topology's users, with that user's own inbox."""
        client = Client()
        try:
            await client.connect(
                self.url,
                nkeys_seed_str=self.seeds[user].read_text(),
                inbox_prefix=f"_INBOX_{user}".encode(),
                allow_reconnect=False,
                error_cb=_ignore,
            )
            yield client
        finally:
            await asyncio.wait_for(client.close(), 5)

    async def provision(self) -> None:
        """Create what the topology declares, as the provisioner."""
        async with self.connect(PROVISIONER) as client:
            await provision(client, self.topology)


def prepare(home: Path, secrets: Path, port: int, topology: Topology = TOPOLOGY) -> Nats:
    """Write the configuration below `home` and make the seeds that `secrets` lacks."""
    private_directory(home)
    seeds = {user: _seed(private_directory(secrets) / f"{user}.nk") for user in topology.users}
    public = {user: public_key(path.read_text()) for user, path in seeds.items()}
    text = server_config(topology, public, host="127.0.0.1", port=port, store=str(home / "store"))
    return Nats(write_secret(home / "nats.conf", text), port, seeds, topology)


def public_key(seed: str) -> str:
    """Return the public nkey of a seed."""
    return str(nkeys.from_seed(seed.encode()).public_key.decode())


def _seed(path: Path) -> Path:
    if path.exists():
        return path
    return write_secret(path, nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER))


async def _ignore(_error: Exception) -> None:
    """Refusals reach the caller as time-outs; nats-py would print each of them too."""
