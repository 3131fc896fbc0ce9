"""Everything on one machine, as `make up` runs it; system tests enter the same stack."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil  # type: ignore[import-untyped]

from deploy.local import caddy, database, mailbox, nats, postgres
from deploy.local.child import Child, Output
from deploy.local.configuration import SERVICES, Configuration
from deploy.local.files import private_directory
from deploy.local.processes import Program, port_is_free
from deploy.local.services import ROOT, Surroundings, replica_name, replicas
from deploy.local.state import Ports, locked, role_passwords
from deploy.local.supervisor import Supervisor


class PortTakenError(RuntimeError):
    """Somebody else listens on the gateway's port."""


class Stack:
    """A running Regent: `async with Stack(configuration, output) as stack: stack.configuration.public_url`.

    With `source=True` a second PostgreSQL runs beside it, a customer's database on loopback TCP that the runner may
    reach: `stack.source`. Services named in `without` are not started; their place is kept.
    """

    def __init__(
        self, configuration: Configuration, output: Output, *, source: bool = False, without: Sequence[str] = ()
    ) -> None:
        self.configuration = configuration
        self._without = frozenset(without)
        self._ports: dict[str, Sequence[int]] = {}
        self._mailbox_port = 0
        self.postgres: postgres.Postgres
        self.nats: nats.Nats
        self.source: postgres.Postgres | None = None
        self._output = output
        self._with_source = source
        self._exits = AsyncExitStack()
        self._supervisor = Supervisor(output)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as exits:
            exits.enter_context(locked(self.configuration.data))
            require_free_port(self.configuration)
            await exits.enter_async_context(self._supervisor)
            await self._start()
            self._exits = exits.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._exits.aclose()

    @property
    def children(self) -> dict[str, Child]:
        """The processes by name: `postgres`, `nats`, the services, `gateway`."""
        return self._supervisor.children

    def passwords(self) -> dict[str, str]:
        """Return the passwords of the database roles, for tests that look behind the services."""
        wanted = [role for service in SERVICES for role in database.roles(service)]
        return role_passwords(self.secrets, wanted)

    def service_url(self, service: str) -> str:
        """Return where the first process of a service listens, behind the gateway."""
        return f"http://127.0.0.1:{self._ports[service][0]}"

    async def start_beside(self, program: Program) -> Child:
        """Start another program that stops with the stack."""
        await self._supervisor.start(program)
        return self._supervisor.child(program.name)

    async def start_mailbox(self) -> None:
        """Start what takes Regent's mail on this machine, unless a mail server is configured."""
        if self.configuration.smtp_url is None:
            await self.start_beside(mailbox.program(self.configuration.data, self._mailbox_port))

    @property
    def secrets(self) -> Path:
        """Where the keys and passwords of this machine are kept."""
        return private_directory(self.configuration.data / "secrets")

    async def _start(self) -> None:
        ports = Ports(self.configuration.data / "ports.json")
        await self._start_servers(ports)
        await database.prepare(self.postgres, SERVICES, self.passwords())
        await self.nats.provision()
        self._mailbox_port = ports.take("mailbox")
        self._ports = listening = replicas(self.configuration, ports)
        await self._start_services(listening)
        await self._supervisor.start(self._gateway(listening))

    async def _start_servers(self, ports: Ports) -> None:
        data = self.configuration.data
        self.postgres = await postgres.prepare(data / "postgres")
        self.nats = nats.prepare(data / "nats", self.secrets, ports.take("nats"))
        programs = [self.postgres.program(), self.nats.program()]
        if self._with_source:
            self.source = await postgres.prepare(data / "source", port=ports.take("source"))
            self._allow(f"127.0.0.1:{self.source.port}")
            programs.append(self.source.program("source"))
        if self.postgres.note:
            self._output("postgres", self.postgres.note)
        await self._supervisor.start(*programs)

    def _allow(self, address: str) -> None:
        allowed = (*self.configuration.outbound_allow, address)
        self.configuration = replace(self.configuration, outbound_allow=allowed)

    async def _start_services(self, listening: dict[str, Sequence[int]]) -> None:
        given = Surroundings(
            self.configuration, self.postgres, self.nats, self.passwords(), self.secrets, self._mailbox_port
        )
        programs = [
            given.program(service, replica_name(service, number), port)
            for service, ports in listening.items()
            if service not in self._without
            for number, port in enumerate(ports)
        ]
        jails = [given.jail(program.name) for program in programs if program.name.startswith("validator")]
        await self._supervisor.start(*jails, *programs)

    def _gateway(self, listening: dict[str, Sequence[int]]) -> Program:
        return caddy.program(
            self.configuration.data / "gateway",
            host=self.configuration.host,
            port=self.configuration.port,
            upstreams=listening,
            documents=ROOT / "docs" / "api",
        )


def require_free_port(configuration: Configuration) -> None:
    """Check that the gateway can listen.

    Raises:
        PortTakenError: it cannot; says who does, where that can be seen, and what to do.
    """
    if port_is_free(configuration.port, configuration.host):
        return
    raise PortTakenError(
        f"port {configuration.port} is taken{_listener(configuration.port)}. "
        f"Stop what uses it, or choose another: REGENT_PORT={configuration.port + 1} make up"
    )


def _listener(port: int) -> str:
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (process {connection.pid})"
    except (psutil.Error, OSError):
        return ""
    return ""
