-- The tenants' Merkle trees. Entries, nodes and checkpoints are only ever added: no role may change or remove one,
-- and triggers that no session setting disables refuse it to the owner and to a superuser too.

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit.% is append-only', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END
$$;

-- One row per message of the event stream; `seq` is the leaf's index in its tenant's tree.
CREATE TABLE entry (
    tenant_id      uuid        NOT NULL,
    seq            bigint      NOT NULL CHECK (seq >= 0),
    stream_seq     bigint      NOT NULL,
    received_at    timestamptz NOT NULL,
    nats_subject   text        NOT NULL,
    event_id       uuid,
    type           text,
    subject        text,
    actor          text,
    time           timestamptz,
    correlation_id text,
    causation_id   text,
    trace_id       text,
    fault          text,
    body           bytea       NOT NULL,
    leaf_hash      bytea       NOT NULL CHECK (length(leaf_hash) = 32),
    PRIMARY KEY (tenant_id, seq),
    UNIQUE (tenant_id, event_id),
    CHECK ((event_id IS NULL) = (fault IS NOT NULL))
);
CREATE INDEX entry_type ON entry (tenant_id, type text_pattern_ops, seq);
CREATE INDEX entry_subject ON entry (tenant_id, subject, seq) WHERE subject IS NOT NULL;
CREATE INDEX entry_actor ON entry (tenant_id, actor, seq) WHERE actor IS NOT NULL;
CREATE INDEX entry_correlation ON entry (tenant_id, correlation_id, seq) WHERE correlation_id IS NOT NULL;
CREATE INDEX entry_time ON entry (tenant_id, time, seq) WHERE time IS NOT NULL;
CREATE INDEX entry_fault ON entry (tenant_id, seq) WHERE fault IS NOT NULL;

-- Roots of perfect subtrees of every eighth level, so that a proof reads hundreds of hashes and not millions.
CREATE TABLE node (
    tenant_id uuid   NOT NULL,
    level     int    NOT NULL CHECK (level > 0 AND level % 8 = 0),
    index     bigint NOT NULL CHECK (index >= 0),
    hash      bytea  NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (tenant_id, level, index)
);

-- How large each tree is and how it goes on. `noteworthy_size` is the size after the last entry that calls for a
-- checkpoint, `signed_size` the size of the last checkpoint.
CREATE TABLE tree_head (
    tenant_id       uuid        PRIMARY KEY,
    size            bigint      NOT NULL CHECK (size >= 0),
    frontier        bytea[]     NOT NULL,
    noteworthy_size bigint      NOT NULL CHECK (noteworthy_size BETWEEN 0 AND size),
    signed_size     bigint      NOT NULL DEFAULT 0 CHECK (signed_size BETWEEN 0 AND size),
    signed_at       timestamptz
);
CREATE INDEX tree_head_due ON tree_head (tenant_id) WHERE noteworthy_size > signed_size;

CREATE TABLE checkpoint (
    tenant_id uuid        NOT NULL,
    size      bigint      NOT NULL CHECK (size > 0),
    root      bytea       NOT NULL CHECK (length(root) = 32),
    note      text        NOT NULL,
    signed_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, size)
);

-- The keys that sign checkpoints; they belong to the system tenant. The private half is sealed under a data key that
-- this service's key ring wraps. A retired key stays, so that old checkpoints can still be checked.
CREATE TABLE signing_key (
    tenant_id       uuid        NOT NULL,
    id              uuid        NOT NULL,
    public_key      bytea       NOT NULL CHECK (length(public_key) = 32),
    wrapping_key_id text        NOT NULL,
    wrapped_key     bytea       NOT NULL,
    sealed          bytea       NOT NULL,
    created_at      timestamptz NOT NULL,
    retired_at      timestamptz,
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX signing_key_current ON signing_key (tenant_id) WHERE retired_at IS NULL;

-- Ranges of the event stream that a purge removed, as a `system.stream.purged` event named them.
CREATE TABLE purged (
    first bigint NOT NULL,
    last  bigint NOT NULL CHECK (last >= first),
    PRIMARY KEY (first, last)
);

-- The last message read, to tell after a restart whether the stream is still the one that was read.
CREATE TABLE last_message (
    stream     text   PRIMARY KEY,
    stream_seq bigint NOT NULL,
    leaf_hash  bytea  NOT NULL
);

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['entry', 'node', 'checkpoint'] LOOP
        EXECUTE format('CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON %I '
                       'FOR EACH ROW EXECUTE FUNCTION refuse_change()', name);
        EXECUTE format('CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON %I '
                       'FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', name);
        EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER refuse_change', name);
        EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER refuse_truncate', name);
    END LOOP;
    FOREACH name IN ARRAY ARRAY['entry', 'node', 'tree_head', 'checkpoint', 'signing_key'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', name);
        EXECUTE format($policy$
            CREATE POLICY tenant ON %I TO audit_server, audit_writer, audit_signer
            USING (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid))
            WITH CHECK (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid))
        $policy$, name);
    END LOOP;
END
$$;
CREATE POLICY published ON signing_key FOR SELECT TO audit_server USING (true);
CREATE POLICY due ON tree_head FOR SELECT TO audit_signer USING (noteworthy_size > signed_size);

GRANT SELECT ON entry, node, tree_head, checkpoint TO audit_server;
GRANT SELECT (tenant_id, id, public_key, created_at, retired_at) ON signing_key TO audit_server;

GRANT INSERT ON entry, node TO audit_writer;
GRANT SELECT (tenant_id, event_id, leaf_hash) ON entry TO audit_writer;  -- to know what was published twice
GRANT SELECT, INSERT ON tree_head, purged TO audit_writer;
GRANT UPDATE (size, frontier, noteworthy_size) ON tree_head TO audit_writer;
GRANT SELECT, INSERT, UPDATE ON reader_position, last_message TO audit_writer;

GRANT SELECT (tenant_id, seq, leaf_hash) ON entry TO audit_signer;  -- to prove growth before it signs
GRANT SELECT ON node, tree_head, reader_position TO audit_signer;
GRANT UPDATE (signed_size, signed_at) ON tree_head TO audit_signer;
GRANT SELECT, INSERT ON checkpoint, signing_key TO audit_signer;
GRANT UPDATE (retired_at, wrapping_key_id, wrapped_key) ON signing_key TO audit_signer;

-- The signer announces each checkpoint in the transaction that records it.
CREATE POLICY signer ON outbox FOR INSERT TO audit_signer
    WITH CHECK (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid));
CREATE POLICY signer ON entity_sequence TO audit_signer
    USING (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid))
    WITH CHECK (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid));
GRANT INSERT ON outbox TO audit_signer;
GRANT SELECT, INSERT, UPDATE ON entity_sequence TO audit_signer;
