-- A tenant's data key has versions: the newest seals, earlier ones open what is not sealed anew yet.
ALTER TABLE data_key
    ADD COLUMN version integer NOT NULL DEFAULT 1 CHECK (version > 0),
    DROP CONSTRAINT data_key_pkey,
    ADD PRIMARY KEY (tenant_id, version);
GRANT SELECT (version), DELETE ON data_key TO catalog_keeper;
