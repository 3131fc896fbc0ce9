"""The six services and the validator's jail as programs, each with its own credentials and nobody else's."""

import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx

from deploy.local import mailbox
from deploy.local.configuration import SERVICES, Configuration, Roots
from deploy.local.database import DATABASE, roles
from deploy.local.files import private_directory, write_secret
from deploy.local.nats import Nats, public_key
from deploy.local.postgres import Postgres
from deploy.local.processes import Program
from deploy.local.state import Ports, key_ring
from libs.common.jail import sockets

ROOT = Path(__file__).parents[2]
_KEEP_SECRETS = ("auth", "catalog", "audit")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the launcher knows and deals out, piece by piece."""

    configuration: Configuration
    postgres: Postgres
    nats: Nats
    passwords: Mapping[str, str]
    secrets: Path
    mailbox_port: int = 0

    def environment(self, service: str, port: int, name: str = "") -> dict[str, str]:
        """Return the whole environment of one process of `service`, called `name`, beside PATH and locale."""
        return {
            **self._common(service, port),
            **self._databases(service),
            **self._keys(service),
            **({"REGENT_JAIL": str(self._jail(name or service))} if service == "validator" else {}),
            **(self._reach() if service == "runner" else {}),
            **(self._mail() | self._outbound() if service == "auth" else {}),
        }

    def _common(self, service: str, port: int) -> dict[str, str]:
        data = self.configuration.data
        return {
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "HOME": str(private_directory(data / "home" / service)),
            "REGENT_DATA": str(data),
            "REGENT_HOST": "127.0.0.1",
            "REGENT_LISTEN_PORT": str(port),
            "REGENT_PUBLIC_URL": self.configuration.public_url,
            "REGENT_OBJECTS": private_directory(data / "objects").as_uri(),
            "REGENT_NATS_URL": self.nats.url,
            "REGENT_NKEY_SEED_FILE": str(self.nats.seeds[service]),
            "REGENT_LOG_FORMAT": "json",
            **self.configuration.common,
        }

    def _databases(self, service: str) -> dict[str, str]:
        """Return a URL for each role but the owner, which only migrates."""
        names = {role: role.removeprefix(f"{service}_") for role in roles(service)}
        return {
            "REGENT_DATABASE_URL" if name == "server" else f"REGENT_{name.upper()}_DATABASE_URL": self.postgres.url(
                role, self.passwords[role], DATABASE
            )
            for role, name in names.items()
            if name != "owner"
        }

    def _keys(self, service: str) -> dict[str, str]:
        keeps = service in _KEEP_SECRETS
        keys = {"REGENT_KEYRING_FILE": str(key_ring(self.secrets, service)), **self.configuration.kms} if keeps else {}
        if service == "validator":
            keys["REGENT_RUNNER_PUBLIC_KEY"] = public_key(self.nats.seeds["runner"].read_text())
        return keys

    def _reach(self) -> dict[str, str]:
        chosen = self.configuration
        return {
            "REGENT_SOURCE_ROOTS": str(self._roots("source-roots", chosen.source_roots)),
            "REGENT_DESTINATION_ROOTS": str(self._roots("destination-roots", chosen.destination_roots)),
            **self._outbound(),
        }

    def _outbound(self) -> dict[str, str]:
        return {"REGENT_OUTBOUND_ALLOW": ",".join(self.configuration.outbound_allow)}

    def _mail(self) -> dict[str, str]:
        """Return the mail server: the configured one, or this machine's mailbox."""
        chosen = self.configuration
        return {
            "REGENT_SMTP_URL": chosen.smtp_url or mailbox.url(self.mailbox_port),
            "REGENT_MAIL_FROM": chosen.mail_from,
        }

    def _roots(self, name: str, roots: Roots) -> Path:
        directory = private_directory(self.configuration.data / "configuration")
        return write_secret(directory / f"{name}.json", json.dumps({t: dict(named) for t, named in roots.items()}))

    def program(self, service: str, name: str, port: int) -> Program:
        """Return one process of `service`; it is ready when it says so itself."""
        return Program(
            name=name,
            command=(sys.executable, "-m", f"services.{service}.main"),
            environment=self.environment(service, port, name),
            ready=partial(ready, port),
            directory=ROOT,
            explain=partial(readiness, port),
        )

    def jail(self, name: str) -> Program:
        """Return the jail of the validator's process `name`: it is told where to listen, and holds nothing."""
        directory = self._jail(name)
        isolation = self.configuration.common.get("REGENT_ISOLATION", "auto")
        return Program(
            name=name.replace("validator", "jail"),
            command=(sys.executable, "-m", "services.validator.jail", str(directory), isolation),
            ready=partial(warm, directory),
            directory=ROOT,
        )

    def _jail(self, name: str) -> Path:
        return private_directory(private_directory(self.configuration.data / "jail") / name)


async def ready(port: int) -> bool:
    """Ask a service whether it is ready."""
    return (await readiness(port)).startswith("200")


async def readiness(port: int) -> str:
    """Return the status and the checks that a service reports, or that it does not answer."""
    try:
        async with httpx.AsyncClient(timeout=2, trust_env=False) as client:
            answer = await client.get(f"http://127.0.0.1:{port}/readyz")
    except httpx.HTTPError:
        return "nothing yet"
    return f"{answer.status_code} {answer.text}"


async def warm(directory: Path) -> bool:
    """Ask a jail whether all its parents are warm."""
    loop = asyncio.get_running_loop()
    names = [path.stem for path in directory.glob("*.sock")]
    for name in names:
        try:
            with sockets.connect(directory, name) as control:
                await asyncio.wait_for(loop.sock_recv(control, 1024), 2)
        except (OSError, TimeoutError):
            return False
    return bool(names)


def replicas(configuration: Configuration, ports: Ports) -> dict[str, Sequence[int]]:
    """Return the ports of each service's processes."""
    return {
        service: [ports.take(replica_name(service, number)) for number in range(configuration.replicas.get(service, 1))]
        for service in SERVICES
    }


def replica_name(service: str, number: int) -> str:
    """Return what a process is called in logs: `runner`, `runner-2`, ..."""
    return service if number == 0 else f"{service}-{number + 1}"
