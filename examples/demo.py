"""The main job from an empty system to a delivered, proven report: what `make demo` runs."""

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg

from deploy.local.setup import setup_token
from deploy.local.stack import Stack
from examples.broker_week import job
from examples.broker_week.definitions import database_source, definitions
from examples.broker_week.parties import FIRM_LEI
from examples.broker_week.source import load
from examples.broker_week.week import MONDAY, Week, week
from examples.client import Api
from examples.summary import print_run, print_trail, say
from libs.common.vocabulary.connections import DirectoryDestination, PostgresConnector

_XSD = Path(__file__).parent / "broker_week" / "xsd"
_FRIDAY = MONDAY + timedelta(days=4)
_AS_OF = datetime.combine(MONDAY + timedelta(days=7), datetime.min.time(), UTC)
_READER = "reporting"


@dataclass(frozen=True, slots=True)
class Credentials:
    """An OAuth2 client's."""

    client_id: str
    client_secret: str


async def run(stack: Stack) -> None:
    """Make a tenant, describe the report as a customer would, run it and print what happened."""
    url = stack.configuration.public_url
    credentials = await first_tenant(url, await setup_token(stack))
    say("the source: a broker's week of trades in a PostgreSQL database of its own")
    made = week()
    secret = await fill_source(stack, made)
    async with Api(url, credentials.client_id, credentials.client_secret) as api:
        report = await describe(api, stack, made, secret)
        await tell(api, await job.start(api, report, business_date=_FRIDAY, as_of=_AS_OF))


async def first_tenant(url: str, token: str | None) -> Credentials:
    """Make a tenant by the set-up link, then an OAuth2 client for the integration.

    Each demo run after the first makes a client anew, as the administrator of the first.
    """
    if token is None:
        raise SystemExit(
            "regent: this data directory has users already; choose another: REGENT_DATA=/tmp/demo make demo"
        )
    owner = {
        "token": token,
        "tenant_name": "Example Broker",
        "name": "Owner",
        "email": "owner@broker.example",
        "password": secrets.token_urlsafe(18),
    }
    async with Api(url, token="none") as anybody:  # noqa: S106 - set-up needs no token
        logged_in = await anybody.post("/v1/setup", owner)
    say(f"tenant {logged_in['tenant_id']} with its owner {owner['email']}")
    async with Api(url, token=logged_in["access_token"]) as api:
        client = await api.post("/v1/clients", {"name": "integration", "roles": ["owner"]})
    say(f"OAuth2 client {client['client_id']}; tokens from {url}/oauth2/token")
    return Credentials(client["client_id"], client["client_secret"])


async def fill_source(stack: Stack, made: Week) -> str:
    """Load the week into the source database; returns the password of the role that may only read it."""
    if stack.source is None:
        raise ValueError("the stack was started without a source")
    password = secrets.token_urlsafe(18)
    admin = await asyncpg.connect(stack.source.tcp_url())
    try:
        await load(admin, made)
        await admin.execute(f"CREATE ROLE {_READER} LOGIN PASSWORD '{password}'")
        await admin.execute(f"GRANT SELECT ON trades TO {_READER}")
    finally:
        await admin.close()
    return password


async def describe(api: Api, stack: Stack, made: Week, password: str) -> UUID:
    """Create and publish the connector, the definitions and the report."""
    place = urlsplit(stack.source.tcp_url() if stack.source else "")
    spec = PostgresConnector(
        host=str(place.hostname), port=place.port or 5432, database="postgres", user=_READER, tls="disable"
    )
    connector = await job.connector(api, "trades", spec, {"password": password})
    parts = definitions(
        [row._asdict() for row in made.instruments],
        [row._asdict() for row in made.counterparties],
        [row._asdict() for row in made.clients],
        FIRM_LEI,
    )
    files = list(_XSD.glob("*.xsd"))
    destination = DirectoryDestination(root="demo", path="reports")
    report = await job.describe(api, parts, database_source(connector), files, destination)
    say("published: connector, 2 schemas, 4 mappings, XSD set, destination, rules, report")
    return report


async def tell(api: Api, run_id: UUID) -> None:
    """Wait for the run and print it, its exceptions, its artifacts and its trail."""
    ended: Any = await job.wait(api, run_id)
    groups = await api.get("/v1/exceptions/groups", run_id=str(run_id))
    print_run(ended, groups["items"])
    await print_trail(api, run_id)
