from sqlalchemy import Boolean, Column, Date, DateTime, Integer, MetaData, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

METADATA = MetaData()

definition = Table(
    "definition",
    METADATA,
    Column("tenant_id", Uuid, primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("kind", Text),
    Column("name", Text),
    Column("status", Text),
    Column("revision", Integer),
    Column("latest", Integer),
    Column("draft", JSONB),
    Column("created_at", DateTime(timezone=True)),
    Column("created_by", Text),
    Column("changed_at", DateTime(timezone=True)),
)
version = Table(
    "definition_version",
    METADATA,
    Column("tenant_id", Uuid, primary_key=True),
    Column("definition_id", Uuid, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("kind", Text),
    Column("name", Text),
    Column("object_key", Text),
    Column("sha256", Text),
    Column("size", Integer),
    Column("effective_from", Date),
    Column("published_at", DateTime(timezone=True)),
    Column("published_by", Text),
)
reference = Table(
    "definition_reference",
    METADATA,
    Column("tenant_id", Uuid, primary_key=True),
    Column("definition_id", Uuid, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("target_kind", Text),
    Column("target_id", Uuid, primary_key=True),
    Column("owned_id", Uuid),
)
known = Table(
    "known_definition",
    METADATA,
    Column("tenant_id", Uuid, primary_key=True),
    Column("kind", Text),
    Column("id", Uuid, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("name", Text),
    Column("object_key", Text),
    Column("sha256", Text),
    Column("effective_from", Date),
    Column("archived", Boolean),
)
dependent = Table(
    "known_dependent",
    METADATA,
    Column("tenant_id", Uuid, primary_key=True),
    Column("target_id", Uuid, primary_key=True),
    Column("kind", Text),
    Column("id", Uuid, primary_key=True),
    Column("name", Text),
    Column("archived", Boolean),
)
