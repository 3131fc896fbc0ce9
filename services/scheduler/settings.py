from pydantic import Field, SecretStr

from libs.common.settings import Settings as CommonSettings


class Settings(CommonSettings):
    """What the scheduler needs beside the common settings."""

    claimer_database_url: SecretStr = Field(
        description="PostgreSQL URL of the role that finds due schedules of all tenants"
    )
    tick_seconds: float = Field(default=0.5, gt=0, le=60, description="how often due schedules are looked for")
    claim_size: int = Field(default=200, ge=1, le=10_000, description="due schedules claimed at once")
