"""What the runner needs to know; it keeps no secret but its database passwords and its bus key."""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from pydantic import Field, SecretStr

from libs.common.outbound import OutboundPolicy
from libs.common.settings import Settings, SettingsError


class RunnerSettings(Settings):
    """What the runner needs beside the common settings."""

    reaper_database_url: SecretStr = Field(
        description="PostgreSQL URL of the role that finds runs that wait for a worker, by their lease columns"
    )
    data: Path | None = Field(default=None, description="data directory of a one-machine installation")
    scratch: Path | None = Field(
        default=None, description="directory for work in progress; default: below the data or the temporary directory"
    )
    source_roots: Path | None = Field(
        default=None, description="JSON file of directories that file connectors may read: tenant or * → name → path"
    )
    destination_roots: Path | None = Field(
        default=None, description="JSON file of directories that may be delivered to: tenant or * → name → path"
    )
    outbound_allow: str = Field(
        default="", description="host:port entries, separated by commas, that may be reached whatever their address"
    )
    lease_seconds: float = Field(
        default=15, gt=0, le=600, description="a run whose worker is silent this long goes to another"
    )
    slots: int = Field(default=2, ge=1, le=64, description="runs that one process works on at once")
    step_timeout_seconds: float = Field(default=3600, gt=0, description="longest time for one step")
    validation_timeout_seconds: float = Field(
        default=3600, gt=0, description="longest wait for a verdict; also the life of the validator's grant"
    )
    transform_timeout_seconds: float = Field(
        default=3600, gt=0, description="longest wait for a report's own code; also the life of the validator's grant"
    )
    retry_seconds: float = Field(
        default=1, ge=0, le=60, description="pause before a step that may succeed on retry is tried again; doubles"
    )
    engine_memory: str = Field(
        default="128MiB", pattern=r"^\d+(KiB|MiB|GiB)$", description="memory of one data engine before it spills"
    )
    engine_threads: int = Field(default=2, ge=1, le=64, description="threads of one data engine")

    def scratch_directory(self) -> Path:
        """Return where work in progress stands."""
        if self.scratch is not None:
            return self.scratch
        return (self.data or Path(tempfile.gettempdir()) / "regent") / "scratch"

    def outbound_policy(self) -> OutboundPolicy:
        """Return where connections may go."""
        return OutboundPolicy.read(self.outbound_allow)


@dataclass(frozen=True, slots=True)
class Roots:
    """Directories that the operator declared: tenant id, or `*` for every tenant → name → directory."""

    declared: Mapping[str, Mapping[str, Path]] = field(default_factory=dict)

    @classmethod
    def load(cls, file: Path | None, data: Path | None) -> "Roots":
        """Read a file of roots.

        Raises:
            SettingsError: the file cannot be read, a path is relative, or lies below our own data directory.
        """
        if file is None:
            return cls()
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            declared = {str(who): {str(n): Path(p) for n, p in named.items()} for who, named in content.items()}
        except (OSError, ValueError, AttributeError, TypeError) as error:
            raise SettingsError(f"configuration: {file} is no file of roots: {error}") from None
        for path in (path for named in declared.values() for path in named.values()):
            _require_outside(path, data)
        return cls(declared)

    def directory(self, tenant_id: UUID, name: str) -> Path | None:
        """Return the directory that a tenant may use under a name, or None."""
        own = self.declared.get(str(tenant_id), {})
        return own.get(name) or self.declared.get("*", {}).get(name)


def _require_outside(path: Path, data: Path | None) -> None:
    if not path.is_absolute():
        raise SettingsError(f"configuration: the root {path} is not absolute")
    if data is not None and path.resolve().is_relative_to(data.resolve()):
        raise SettingsError(f"configuration: the root {path} lies below our own data directory")
