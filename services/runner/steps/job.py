"""What every step has at hand."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import structlog

from libs.common.database.transaction import Row
from libs.common.identity.grants import GrantSigner
from libs.common.jail import JobServer
from libs.common.objects import Sealed, tenant_key
from libs.common.outbound import OutboundPolicy
from services.runner.commands.claims import Claim
from services.runner.engines.errors import DataPathError
from services.runner.library import Library
from services.runner.settings import Roots, RunnerSettings
from services.runner.steps.leases import Leases
from services.runner.steps.plan import Plan
from services.runner.steps.workspace import Basis, Workspace

_LOG = structlog.get_logger(__name__)
_TRIES = 4

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Tools:
    """What the process lends to all its steps."""

    settings: RunnerSettings
    library: Library
    jobs: JobServer
    signer: GrantSigner
    leases: Leases
    policy: OutboundPolicy
    sources: Roots
    destinations: Roots
    now: Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Job:
    """One claim being worked on."""

    tools: Tools
    claim: Claim
    plan: Plan
    workspace: Workspace

    @property
    def run(self) -> Row:
        """The run as claimed."""
        return self.claim.run

    def key(self, step: str, name: str) -> str:
        """Return the object key of this attempt's output; another attempt writes elsewhere."""
        return tenant_key(self.run["tenant_id"], "runs", str(self.run["id"]), step, str(self.claim.fence), name)

    def place(self, step: str) -> Path:
        """Return an empty directory for this attempt at a step."""
        return self.workspace.place(step, self.claim.fence)

    async def output(self, step: str, name: str) -> Path | None:
        """Return a sealed output of an earlier step as a local file, or None where there is none."""
        sealed = self.sealed(step, name)
        return await self.workspace.file(sealed) if sealed else None

    def sealed(self, step: str, name: str) -> Sealed | None:
        """Return the reference to a sealed output of an earlier step, or None where there is none."""
        done = self.claim.done
        found = done[step]["outputs"].get(name) if step in done else None
        return Sealed(**found) if found else None

    @property
    def basis(self) -> Basis:
        """What a further step rests on beside the run and its pins: what was sealed so far, and how many are held."""
        done, verdicts = self.claim.done.items(), self.claim.verdicts.items()
        sealed = {(step, name, one["sha256"]) for step, row in done for name, one in row["outputs"].items()}
        judged = {(phase, str(row["verdict"]["held"])) for phase, row in verdicts if row["verdict"]}
        return frozenset({*sealed, *judged})

    def facts(self, step: str) -> Any:
        """Return what an earlier step noted."""
        return self.claim.done[step]["facts"]

    async def patiently(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do a piece of work, again after a pause where that may help.

        Raises:
            DataPathError: it still fails.
        """
        for attempt in range(_TRIES):
            try:
                return await work()
            except DataPathError as error:
                if not error.retryable or attempt + 1 == _TRIES:
                    raise
                _LOG.warning("step.retry", run=str(self.run["id"]), code=error.code, attempt=attempt)
            await asyncio.sleep(self.tools.settings.retry_seconds * 2**attempt)
        raise AssertionError("unreachable")
