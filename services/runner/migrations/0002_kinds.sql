-- Kinds of run: reports and their corrections, and runs that only try something: samples and backtests.

ALTER TABLE run
    ADD COLUMN kind text NOT NULL DEFAULT 'report' CHECK (kind IN ('report', 'sample', 'backtest', 'correction')),
    ADD COLUMN row_limit int CHECK (row_limit BETWEEN 1 AND 10000),
    ADD CHECK ((kind = 'sample') = (row_limit IS NOT NULL));
CREATE INDEX run_by_kind ON run (tenant_id, kind, created_at DESC, id DESC);

ALTER TABLE run_step DROP CONSTRAINT run_step_step_check;
ALTER TABLE run_step ADD CONSTRAINT run_step_step_check CHECK (
    step IN ('extract', 'validate', 'transform', 'validate_output', 'render', 'deliver', 'compare'));

-- As before; which step must have closed the balance depends on the kind.
CREATE OR REPLACE FUNCTION guard_run() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    closing text := CASE NEW.kind WHEN 'sample' THEN 'extract' WHEN 'backtest' THEN 'compare' ELSE 'deliver' END;
    open bigint;
    last bigint;
BEGIN
    IF OLD.ended_at IS NOT NULL THEN
        RAISE EXCEPTION 'run % has ended as %', OLD.id, OLD.status USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.fence < OLD.fence THEN
        RAISE EXCEPTION 'the fence of run % cannot fall', OLD.id USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.kind <> OLD.kind THEN
        RAISE EXCEPTION 'run % is a %', OLD.id, OLD.kind USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.status IN ('succeeded', 'partial') THEN
        SELECT count(*) FILTER (WHERE l.records_in <> l.before), max(l.records_out) FILTER (WHERE l.step = closing)
        INTO open, last
        FROM (SELECT step, records_in, records_out, lag(records_out, 1, 0::bigint) OVER (ORDER BY position) AS before
              FROM ledger WHERE tenant_id = NEW.tenant_id AND run_id = NEW.id) AS l;
        IF open <> 0 OR last IS DISTINCT FROM NEW.records_out THEN
            RAISE EXCEPTION 'run % has an open balance', NEW.id USING ERRCODE = 'check_violation';
        END IF;
    END IF;
    RETURN NEW;
END
$$;
