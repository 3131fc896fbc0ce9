from sqlalchemy import Boolean, Column, DateTime, Integer, LargeBinary, MetaData, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

METADATA = MetaData()
_MOMENT = DateTime(timezone=True)

tenant = Table(
    "tenant",
    METADATA,
    Column("tenant_id", Uuid, primary_key=True),
    Column("name", Text),
    Column("status", Text),
    Column("created_at", _MOMENT),
    Column("second_factor", Text),
    Column("second_factor_from", _MOMENT),
)
identity = Table(
    "identity",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("email", Text),
    Column("password_hash", Text),
    Column("password_alone", Boolean),
    Column("created_at", _MOMENT),
)
membership = Table(
    "membership",
    METADATA,
    Column("tenant_id", Uuid, primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("name", Text),
    Column("roles", ARRAY(Text)),
    Column("status", Text),
    Column("revision", Integer),
    Column("created_at", _MOMENT),
)
role = Table(
    "role",
    METADATA,
    Column("tenant_id", Uuid, primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("name", Text),
    Column("permissions", ARRAY(Text)),
    Column("revision", Integer),
    Column("created_at", _MOMENT),
)
grant = Table(
    "access_grant",
    METADATA,
    Column("tenant_id", Uuid, primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("subject", Text),
    Column("method", Text),
    Column("address", Text),
    Column("created_at", _MOMENT),
    Column("last_used_at", _MOMENT),
    Column("expires_at", _MOMENT),
    Column("revoked_at", _MOMENT),
    Column("client_id", Uuid),
    Column("scope", ARRAY(Text)),
    Column("jkt", Text),
    Column("amr", ARRAY(Text)),
)
refresh_token = Table(
    "refresh_token",
    METADATA,
    Column("tenant_id", Uuid, primary_key=True),
    Column("grant_id", Uuid, primary_key=True),
    Column("sha256", LargeBinary, primary_key=True),
    Column("created_at", _MOMENT),
    Column("expires_at", _MOMENT),
    Column("used_at", _MOMENT),
)
revocation = Table(
    "revocation",
    METADATA,
    Column("tenant_id", Uuid, primary_key=True),
    Column("grant_id", Uuid, primary_key=True),
    Column("until", _MOMENT),
)
client = Table(
    "oauth_client",
    METADATA,
    Column("tenant_id", Uuid, primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("name", Text),
    Column("roles", ARRAY(Text)),
    Column("grant_id", Uuid),
    Column("revision", Integer),
    Column("created_at", _MOMENT),
    Column("kind", Text),
    Column("grant_types", ARRAY(Text)),
    Column("redirect_uris", ARRAY(Text)),
    Column("scopes", ARRAY(Text)),
    Column("jwks", JSONB),
    Column("require_par", Boolean),
    Column("dpop", Boolean),
    Column("owner_id", Uuid),
)
client_secret = Table(
    "client_secret",
    METADATA,
    Column("tenant_id", Uuid, primary_key=True),
    Column("client_id", Uuid, primary_key=True),
    Column("sha256", LargeBinary, primary_key=True),
    Column("created_at", _MOMENT),
    Column("expires_at", _MOMENT),
)
setup_link = Table(
    "setup_link",
    METADATA,
    Column("tenant_id", Uuid, primary_key=True),
    Column("sha256", LargeBinary, primary_key=True),
    Column("expires_at", _MOMENT),
    Column("used_at", _MOMENT),
)
own_secret = Table(
    "own_secret",
    METADATA,
    Column("tenant_id", Uuid, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("sealed", LargeBinary),
    Column("created_at", _MOMENT),
)
signing_key = Table(
    "signing_key",
    METADATA,
    Column("kid", Text, primary_key=True),
    Column("jwk", JSONB),
    Column("sealed", LargeBinary),
    Column("state", Text),
    Column("created_at", _MOMENT),
    Column("published_at", _MOMENT),
    Column("activated_at", _MOMENT),
    Column("retired_at", _MOMENT),
)
mail = Table(
    "mail",
    METADATA,
    Column("tenant_id", Uuid, primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("template", Text),
    Column("sealed", LargeBinary),
    Column("state", Text),
    Column("attempts", Integer),
    Column("due_at", _MOMENT),
    Column("expires_at", _MOMENT),
    Column("created_at", _MOMENT),
    Column("settled_at", _MOMENT),
    Column("reason", Text),
)
account_link = Table(
    "account_link",
    METADATA,
    Column("tenant_id", Uuid, primary_key=True),
    Column("sha256", LargeBinary, primary_key=True),
    Column("purpose", Text),
    Column("mark", LargeBinary),
    Column("identity_id", Uuid),
    Column("sealed", LargeBinary),
    Column("created_at", _MOMENT),
    Column("expires_at", _MOMENT),
    Column("used_at", _MOMENT),
)
invitation = Table(
    "invitation",
    METADATA,
    Column("tenant_id", Uuid, primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("email", Text),
    Column("roles", ARRAY(Text)),
    Column("invited_by", Text),
    Column("sha256", LargeBinary),
    Column("state", Text),
    Column("created_at", _MOMENT),
    Column("expires_at", _MOMENT),
    Column("settled_at", _MOMENT),
)
