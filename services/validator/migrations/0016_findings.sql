-- What a correction run finds anew is of the run that it corrects, and still goes with its own verdict.
ALTER TABLE exception ADD COLUMN found_by uuid;
COMMENT ON COLUMN exception.found_by IS 'the resubmission whose correction run found it; none where the run itself did';
