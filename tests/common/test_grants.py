"""Grants: what the validator may read and write for one job, and for that job only."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import nkeys
import pytest

from libs.common.errors import Forbidden
from libs.common.events.runner import Grant, ObjectReference
from libs.common.identity.grants import GrantSigner, require_grant

NOW = datetime(2026, 3, 31, 12, tzinfo=UTC)
TENANT, RUN = uuid4(), uuid4()
DATA = ObjectReference(key="t/runs/r/extract", sha256="ab" * 32, size=10)


@dataclass(frozen=True, slots=True)
class Runner:
    """A runner's signer with its public key."""

    signer: GrantSigner
    public: str

    @classmethod
    def make(cls, folder: Path) -> "Runner":
        """Make one with a fresh bus key."""
        seed = nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER)
        file = folder / f"{uuid4()}.nk"
        file.write_bytes(seed)
        return cls(GrantSigner(file), nkeys.from_seed(bytearray(seed)).public_key.decode())

    def grant(self) -> Grant:
        """Sign a grant for the run's input phase, for ten minutes."""
        expires = NOW + timedelta(minutes=10)
        return self.signer.grant(TENANT, RUN, "input", reads=(DATA,), writes="t/runs/r/validate", expires=expires)


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    """Return the runner that the validator trusts."""
    return Runner.make(tmp_path)


def test_a_grant_holds_for_its_job(runner: Runner) -> None:
    """The runner's own grant, in time and for this job, is accepted."""
    require_grant(runner.public, TENANT, RUN, "input", runner.grant(), NOW)


def test_a_grant_survives_the_bus(runner: Runner) -> None:
    """Signed text and sent text are one: a grant that travelled as JSON still holds."""
    travelled = Grant.model_validate_json(runner.grant().model_dump_json())
    require_grant(runner.public, TENANT, RUN, "input", travelled, NOW)


def test_an_expired_grant_is_refused(runner: Runner) -> None:
    """A grant ends at its time."""
    with pytest.raises(Forbidden, match="expired"):
        require_grant(runner.public, TENANT, RUN, "input", runner.grant(), NOW + timedelta(minutes=10))


def test_another_signers_grant_is_refused(runner: Runner, tmp_path: Path) -> None:
    """Whoever can put a message on the bus can still not grant anything."""
    with pytest.raises(Forbidden, match="signature"):
        require_grant(runner.public, TENANT, RUN, "input", Runner.make(tmp_path).grant(), NOW)


_CHANGES: dict[str, Callable[[Grant], Grant]] = {
    "reads": lambda g: g.model_copy(update={"reads": (*g.reads, DATA.model_copy(update={"key": "other/secret"}))}),
    "hash": lambda g: g.model_copy(update={"reads": (DATA.model_copy(update={"sha256": "cd" * 32}),)}),
    "writes": lambda g: g.model_copy(update={"writes": "other/"}),
    "expires": lambda g: g.model_copy(update={"expires": g.expires + timedelta(days=1)}),
    "signature": lambda g: g.model_copy(update={"signature": "not base64"}),
}


@pytest.mark.parametrize("change", _CHANGES.values(), ids=_CHANGES.keys())
def test_an_altered_grant_is_refused(runner: Runner, change: Callable[[Grant], Grant]) -> None:
    """No field of a grant can be changed after it was signed."""
    with pytest.raises(Forbidden, match="signature"):
        require_grant(runner.public, TENANT, RUN, "input", change(runner.grant()), NOW)


def test_a_grant_is_no_other_jobs(runner: Runner) -> None:
    """A grant for one tenant, run and phase opens nothing for another."""
    for tenant, run, phase in ((uuid4(), RUN, "input"), (TENANT, uuid4(), "input"), (TENANT, RUN, "output")):
        with pytest.raises(Forbidden, match="signature"):
            require_grant(runner.public, tenant, run, phase, runner.grant(), NOW)
