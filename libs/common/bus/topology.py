"""Who says what to whom: the one declaration behind the server's accounts, the streams and the durables.

Subjects: `evt.<tenant>.<service>.<entity>.<verb>` for events, `work.<service>.>` for a service's own queue,
`dlq.<service>.>` for what it could not handle. The tenant is the text of a UUID.
"""

from dataclasses import dataclass

EVENTS, WORK, ADVISORIES, DEAD_LETTERS = "EVT", "WORK", "ADV", "DLQ"
IDENTITY_BUCKET = "identity"
IDENTITY_STREAM = f"KV_{IDENTITY_BUCKET}"
IDENTITY_SUBJECTS = f"$KV.{IDENTITY_BUCKET}.>"
API_PREFIX = "BUS"
"""The local name of the JetStream API in every service's account: `nc.jetstream(prefix=API_PREFIX)`."""

PARK = "park"
PROVISIONER = "provisioner"
SYSTEM = "sys"
# Longer than any fetch waits (30 s), short enough that answered requests are forgotten soon.
RESPONSE_THRESHOLD = "60s"

_IDENTITY = ("evt.*.auth.tenant.*", "evt.*.auth.key.*", "evt.*.auth.grant.*")


@dataclass(frozen=True, slots=True)
class Request:
    """A declared request-reply: the only way a service asks another."""

    subject: str
    asker: str
    answerer: str


@dataclass(frozen=True, slots=True)
class Service:
    """One service on the bus; `reads` are the filters of its durable on the event stream, none of them means all.

    `whole` are those of them under which every event of each of their entities comes.
    """

    name: str
    reads: tuple[str, ...]
    whole: tuple[str, ...] = ()
    identity_writer: bool = False
    checks_stream: bool = False

    @property
    def inbox(self) -> str:
        """The prefix of its reply subjects, which nobody else may listen to."""
        return f"_INBOX_{self.name}"

    @property
    def publishes(self) -> tuple[str, ...]:
        """The subjects it may publish: its own events, queue and dead letters."""
        own = (f"evt.*.{self.name}.>", f"work.{self.name}.>", f"dlq.{self.name}.>")
        return (*own, IDENTITY_SUBJECTS) if self.identity_writer else own

    @property
    def durables(self) -> tuple["Durable", ...]:
        """Its consumers: one on the events, one on its own queue."""
        return (
            Durable(EVENTS, self.name, self.reads),
            Durable(WORK, self.name, (f"work.{self.name}.>",)),
        )


@dataclass(frozen=True, slots=True)
class Durable:
    """A pull consumer with explicit acknowledgement; no filters means every message."""

    stream: str
    name: str
    filters: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Topology:
    """The services and the requests between them."""

    services: tuple[Service, ...]
    requests: tuple[Request, ...]

    def service(self, name: str) -> Service:
        """Return the service called `name`.

        Raises:
            KeyError: no such service is declared.
        """
        return {service.name: service for service in self.services}[name]

    def asks(self, service: Service) -> tuple[Request, ...]:
        """Return the requests that the service may send."""
        return tuple(request for request in self.requests if request.asker == service.name)

    def answers(self, service: Service) -> tuple[Request, ...]:
        """Return the requests that the service answers, as a queue group of its own name."""
        return tuple(request for request in self.requests if request.answerer == service.name)

    @property
    def users(self) -> tuple[str, ...]:
        """Return every user with a key: the services, the dead-letter worker, the provisioner, the server's own."""
        return (*(service.name for service in self.services), PARK, PROVISIONER, SYSTEM)


PARKED = Durable(ADVISORIES, PARK)

TOPOLOGY = Topology(
    services=(
        Service("auth", reads=_IDENTITY, identity_writer=True),
        Service(
            "catalog",
            reads=(
                *_IDENTITY,
                "evt.*.runner.backtest.completed",
                "evt.*.scheduler.schedule.*",
                "evt.*.validator.rule.*",
            ),
            whole=("evt.*.scheduler.schedule.*", "evt.*.validator.rule.*"),
        ),
        Service(
            "scheduler",
            reads=(*_IDENTITY, "evt.*.catalog.report.*", "evt.*.catalog.policy.*"),
            whole=("evt.*.catalog.report.*",),
        ),
        Service(
            "runner",
            reads=(
                *_IDENTITY,
                "evt.*.scheduler.schedule.fired",
                "evt.*.catalog.>",
                "evt.*.validator.validation.*",
                "evt.*.validator.rule.*",
                "evt.*.validator.try.asked",
                "evt.*.validator.transform.*",
                "evt.*.validator.resubmission.requested",
            ),
            whole=("evt.*.catalog.>", "evt.*.validator.rule.*"),
        ),
        Service(
            "validator",
            reads=(
                *_IDENTITY,
                "evt.*.runner.validation.requested",
                "evt.*.runner.transform.requested",
                *(f"evt.*.runner.run.{ending}" for ending in ("succeeded", "partial", "failed", "cancelled")),
                "evt.*.runner.backtest.completed",
                "evt.*.runner.extract.*",
                "evt.*.catalog.policy.*",
                "evt.*.catalog.schema.*",
                "evt.*.catalog.mapping.*",
            ),
            whole=("evt.*.catalog.schema.*", "evt.*.catalog.mapping.*"),
        ),
        Service("audit", reads=(), checks_stream=True),
    ),
    requests=(Request("rpc.catalog.lease", asker="runner", answerer="catalog"),),
)
