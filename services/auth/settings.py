from pydantic import Field, SecretStr

from libs.common.crypto.rings import KeyringSettings


class Settings(KeyringSettings):
    """What auth needs beside the common settings."""

    keeper_database_url: SecretStr = Field(
        description="PostgreSQL URL of the role that publishes revocations and tidies across tenants"
    )
    mailer_database_url: SecretStr = Field(description="PostgreSQL URL of the role that claims mail to be sent")
    smtp_url: SecretStr = Field(
        description="mail server: `smtp://user:password@host:587` (STARTTLS), `smtps://host` (TLS), or on loopback only "
        "`smtp://127.0.0.1:25?tls=none`; `?ca=/file.pem` trusts one authority instead of the system's"
    )
    mail_from: str = Field(description="sender of mail: `Regent <regent@example.com>`")
    mail_retry_seconds: float = Field(
        default=10, gt=0, le=3600, description="wait before a mail is tried again; it triples each time, up to an hour"
    )
    open_signup: bool = Field(
        default=True, description="false: nobody makes an account and a tenant by themselves, people are invited"
    )
    outbound_allow: str = Field(
        default="", description="host:port entries, separated by commas, that may be reached whatever their address"
    )
    identity_provider_seconds: float = Field(
        default=5,
        gt=0,
        le=30,
        description="longest wait for one answer of a tenant's identity provider, or of where a client publishes its keys",
    )
    access_token_seconds: int = Field(default=300, ge=30, le=300, description="life of an access token")
    refresh_token_days: float = Field(default=30, gt=0, le=365, description="life of a login, however often refreshed")
    key_rotation_days: float = Field(default=30, gt=0, le=365, description="age at which a signing key is replaced")
    key_lead_seconds: float = Field(
        default=600, ge=300, le=86400, description="how long a new signing key is published before it signs"
    )
    password_workers: int = Field(
        default=2, ge=1, le=64, description="passwords hashed at the same time; each takes 19 MiB and a core"
    )
