-- What is stored refers to its key-encryption key's canary: a key goes only when nothing needs it, and once it is gone
-- nothing can be stored under it by a process that has not heard of it. NOT VALID: rows of before are not looked at.
ALTER TABLE data_key ADD CONSTRAINT data_key_key_fkey FOREIGN KEY (key_id) REFERENCES key_canary (key_id) NOT VALID;

-- The keeper announces each batch that it moves to another key, in the transaction that moves it.
CREATE POLICY keeper ON outbox FOR INSERT TO catalog_keeper
    WITH CHECK (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid));
CREATE POLICY keeper ON entity_sequence TO catalog_keeper
    USING (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid))
    WITH CHECK (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid));
GRANT INSERT ON outbox TO catalog_keeper;
GRANT SELECT, INSERT, UPDATE ON entity_sequence TO catalog_keeper;

CREATE POLICY keeper ON data_key TO catalog_keeper USING (true) WITH CHECK (true);
GRANT SELECT (tenant_id, key_id, wrapped) ON data_key TO catalog_keeper;
GRANT UPDATE (key_id, wrapped) ON data_key TO catalog_keeper;
GRANT SELECT, DELETE ON key_canary TO catalog_keeper;
