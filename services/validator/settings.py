from pathlib import Path

from pydantic import Field, SecretStr

from libs.common.jail.isolation import Isolation
from libs.common.settings import Settings as CommonSettings


class Settings(CommonSettings):
    """What the validator needs beside the common settings."""

    runner_public_key: str = Field(description="the runner's public nkey, which signs the grants of its jobs")
    jail: Path = Field(description="directory of the jail's sockets, shared with the jail and nobody else")
    scratch: Path | None = Field(default=None, description="directory for jobs' files; default: the system's")
    isolation: Isolation = Field(
        default="auto",
        description="what holds tenants' code: `auto`: the portable layers, and namespaces where the host has them; `namespaces`: both, or nothing runs; `runtimeclass`: gVisor",
    )
    slots: int = Field(default=3, ge=1, le=64, description="validations at once; one tenant has at most all but one")
    tries: int = Field(default=4, ge=2, le=64, description="tries at once; one tenant has at most half")
    tenant_try_cpu_seconds: float = Field(
        default=60, gt=0, le=86_400, description="processor time of a tenant's tries in any minute; more is refused"
    )
    tenant_cpu_seconds: float = Field(
        default=7200,
        gt=0,
        le=1_000_000,
        description="processor time of a tenant's validations and transforms in any hour; more waits",
    )
    memory_mib: int = Field(default=256, ge=256, le=65_536, description="memory of one validation's engine, in MiB")
    threads: int = Field(
        default=2, ge=1, le=64, description="threads of one validation's engine, at most: one for each 32 MiB of data"
    )
    spill_mib: int = Field(
        default=10_240, ge=256, le=1_048_576, description="what one validation's engine may put on disk, in MiB"
    )
    wall_seconds: float = Field(default=900, gt=0, le=86_400, description="longest time of one validation")
    lease_seconds: float = Field(
        default=30, gt=0, le=600, description="a validation whose worker is silent this long goes to another"
    )
    transform_slots: int = Field(
        default=2, ge=1, le=64, description="transforms of reports' own code at once; one tenant has one less at most"
    )
    transform_memory_mib: int = Field(
        default=2048, ge=768, le=65_536, description="address space of one transform's process, in MiB"
    )
    transform_result_mib: int = Field(
        default=1024, ge=1, le=65_536, description="room for the rows of one transform, in MiB"
    )
    transform_cpu_seconds: int = Field(default=60, ge=1, le=86_400, description="processor time of one transform")
    transform_wall_seconds: float = Field(default=120, gt=0, le=86_400, description="longest time of one transform")
    claimer_database_url: SecretStr = Field(
        description="PostgreSQL URL of the role that finds abandoned jobs of all tenants"
    )
