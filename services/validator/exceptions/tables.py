from sqlalchemy import BigInteger, Boolean, Column, Date, DateTime, Integer, MetaData, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

METADATA = MetaData()
_INSTANT = DateTime(timezone=True)

exception = Table(
    "exception",
    METADATA,
    Column("tenant_id", Uuid, primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("run_id", Uuid),
    Column("report_id", Uuid),
    Column("business_date", Date),
    Column("phase", Text),
    Column("ordinal", BigInteger),
    Column("key", Text),
    Column("rule_id", Text),
    Column("rule_version", Integer),
    Column("rule_name", Text),
    Column("outcome", Text),
    Column("fields", JSONB),
    Column("message", Text),
    Column("status", Text),
    Column("opened_at", _INSTANT),
    Column("revision", Integer),
    Column("assignee", Uuid),
    Column("evidence", Uuid),
    Column("grouped", Boolean),
    Column("due_at", _INSTANT),
    Column("changed_at", _INSTANT),
    Column("resolution", Text),
    Column("decision_id", Uuid),
    Column("proposal_id", Uuid),
    Column("resubmission_id", Uuid),
)
term = Table(
    "exception_term",
    METADATA,
    Column("tenant_id", Uuid, primary_key=True),
    Column("term", BigInteger, primary_key=True),
    Column("opened_at", _INSTANT, primary_key=True),
    Column("exception_id", Uuid, primary_key=True),
)
tally = Table(
    "exception_tally",
    METADATA,
    Column("tenant_id", Uuid, primary_key=True),
    Column("scope", Uuid, primary_key=True),
    Column("rule_id", Text, primary_key=True),
    Column("phase", Text, primary_key=True),
    Column("evidence", Uuid, primary_key=True),
    Column("rule_name", Text),
    Column("rule_version", Integer),
    Column("fields", JSONB),
    Column("open", BigInteger),
    Column("amended", BigInteger),
    Column("waived", BigInteger),
    Column("resubmitted", BigInteger),
    Column("closed", BigInteger),
)
history = Table(
    "exception_history",
    METADATA,
    Column("tenant_id", Uuid, primary_key=True),
    Column("exception_id", Uuid, primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("at", _INSTANT),
    Column("actor", Text),
    Column("action", Text),
    Column("old", JSONB),
    Column("new", JSONB),
    Column("comment", Text),
)
policy = Table(
    "exception_policy",
    METADATA,
    Column("tenant_id", Uuid, primary_key=True),
    Column("second_person", Boolean),
    Column("due_hours", Integer),
    Column("revision", Integer),
    Column("changed_by", Text),
    Column("changed_at", _INSTANT),
)
