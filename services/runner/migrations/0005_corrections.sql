-- Corrections: some records of a run again; `selection` says which, and of what sealed extract.

ALTER TABLE run DROP CONSTRAINT run_trigger_check;
ALTER TABLE run
    ADD CONSTRAINT run_trigger_check CHECK (trigger IN ('manual', 'schedule', 'rerun', 'correction')),
    ADD COLUMN selection jsonb,
    ADD CONSTRAINT run_selection CHECK ((kind = 'correction') = (selection IS NOT NULL));
