-- What {service} knows of versions that others own, filled from their events; `announce` fills it again.

CREATE TABLE known_definition (
    tenant_id      uuid   NOT NULL,
    kind           text   NOT NULL,
    id             uuid   NOT NULL,
    number         int    NOT NULL,
    name           text   NOT NULL,
    object_key     text   NOT NULL,
    sha256         text   NOT NULL,
    effective_from date   NOT NULL,
    archived       boolean NOT NULL DEFAULT false,
    PRIMARY KEY (tenant_id, id, number)
);
CREATE INDEX known_definition_kind ON known_definition (tenant_id, kind, id);
ALTER TABLE known_definition ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON known_definition TO {service}_server
    USING (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid))
    WITH CHECK (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid));
GRANT SELECT, INSERT, UPDATE ON known_definition TO {service}_server;

-- Which of others' definitions depend on which target.
CREATE TABLE known_dependent (
    tenant_id uuid    NOT NULL,
    target_id uuid    NOT NULL,
    kind      text    NOT NULL,
    id        uuid    NOT NULL,
    name      text    NOT NULL,
    archived  boolean NOT NULL DEFAULT false,
    PRIMARY KEY (tenant_id, target_id, id)
);
CREATE INDEX known_dependent_source ON known_dependent (tenant_id, id);
ALTER TABLE known_dependent ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON known_dependent TO {service}_server
    USING (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid))
    WITH CHECK (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid));
GRANT SELECT, INSERT, UPDATE ON known_dependent TO {service}_server;
