-- A rule is found by the authority's id of it: the draft's, kept when the draft is published.
-- Rules that were published before have it from their next draft on; their versions are sealed and carry it anyway.

ALTER TABLE definition ADD COLUMN external_id text;
CREATE INDEX definition_external ON definition (tenant_id, kind, external_id, id) WHERE external_id <> '';

CREATE FUNCTION keep_external_id() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.draft IS NOT NULL THEN
        NEW.external_id := NEW.draft ->> 'external_id';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER keep_external_id BEFORE INSERT OR UPDATE OF draft ON definition
    FOR EACH ROW EXECUTE FUNCTION keep_external_id();
