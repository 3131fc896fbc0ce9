-- Definitions of which {service} is the owner: one draft each, versions that never change.

CREATE TABLE definition (
    tenant_id  uuid        NOT NULL,
    id         uuid        NOT NULL,
    kind       text        NOT NULL,
    name       text        NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    status     text        NOT NULL CHECK (status IN ('draft', 'published', 'archived')),
    revision   int         NOT NULL,
    latest     int         NOT NULL DEFAULT 0,
    draft      jsonb,
    created_at timestamptz NOT NULL,
    created_by text        NOT NULL,
    changed_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX definition_list ON definition (tenant_id, kind, id);
CREATE UNIQUE INDEX definition_name ON definition (tenant_id, kind, name) WHERE status <> 'archived';
ALTER TABLE definition ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON definition TO {service}_server
    USING (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid))
    WITH CHECK (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid));
GRANT SELECT, INSERT, UPDATE, DELETE ON definition TO {service}_server;

CREATE TABLE definition_version (
    tenant_id      uuid        NOT NULL,
    definition_id  uuid        NOT NULL,
    number         int         NOT NULL,
    kind           text        NOT NULL,
    name           text        NOT NULL,
    object_key     text        NOT NULL,
    sha256         text        NOT NULL,
    size           bigint      NOT NULL,
    effective_from date        NOT NULL,
    published_at   timestamptz NOT NULL,
    published_by   text        NOT NULL,
    PRIMARY KEY (tenant_id, definition_id, number),
    FOREIGN KEY (tenant_id, definition_id) REFERENCES definition (tenant_id, id)
);
ALTER TABLE definition_version ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON definition_version TO {service}_server
    USING (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid))
    WITH CHECK (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid));
GRANT SELECT, INSERT ON definition_version TO {service}_server;

-- What a version refers to. A target that {service} owns is held by a foreign key; others are known by their events.
CREATE TABLE definition_reference (
    tenant_id     uuid NOT NULL,
    definition_id uuid NOT NULL,
    number        int  NOT NULL,
    target_kind   text NOT NULL,
    target_id     uuid NOT NULL,
    owned_id      uuid,
    PRIMARY KEY (tenant_id, definition_id, number, target_id),
    FOREIGN KEY (tenant_id, definition_id, number) REFERENCES definition_version (tenant_id, definition_id, number),
    FOREIGN KEY (tenant_id, owned_id) REFERENCES definition (tenant_id, id),
    CHECK (owned_id IS NULL OR owned_id = target_id)
);
CREATE INDEX definition_reference_target ON definition_reference (tenant_id, target_id);
ALTER TABLE definition_reference ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON definition_reference TO {service}_server
    USING (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid))
    WITH CHECK (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid));
GRANT SELECT, INSERT ON definition_reference TO {service}_server;
