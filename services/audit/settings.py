from pydantic import Field, SecretStr

from libs.common.crypto.rings import KeyringSettings


class AuditSettings(KeyringSettings):
    """What audit needs beside the common settings: its two workers' roles, its key ring, how often it signs."""

    writer_database_url: SecretStr = Field(description="PostgreSQL URL of the role that appends audit entries")
    signer_database_url: SecretStr = Field(description="PostgreSQL URL of the role that signs checkpoints")
    checkpoint_seconds: float = Field(
        default=60, gt=0, le=3600, description="a trail that grew gets a signed checkpoint at least this often"
    )
    checkpoint_entries: int = Field(
        default=1000, ge=1, description="a trail that grew by this many entries gets a checkpoint at once"
    )
