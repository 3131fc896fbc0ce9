-- Every filter of the queue is an index read in the order of its lists: also by phase, by nobody's, and by a
-- resubmission and a status.
CREATE INDEX exception_by_phase ON exception (tenant_id, phase, status, opened_at, id);
CREATE INDEX exception_unassigned ON exception (tenant_id, status, opened_at, id) WHERE assignee IS NULL;
CREATE INDEX exception_by_resubmission_status ON exception (tenant_id, resubmission_id, status, opened_at, id)
    WHERE resubmission_id IS NOT NULL;
DROP INDEX exception_by_resubmission;

-- The lists of amendments and waivers by report and by a record's key.
CREATE INDEX decision_by_report ON decision (tenant_id, kind, report_id, id);
CREATE INDEX decision_by_record ON decision (tenant_id, kind, key, id);
