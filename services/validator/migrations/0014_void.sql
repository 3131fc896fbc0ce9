-- An exception of a verdict that was never told closes by itself: nobody has anything to do about it.
ALTER TABLE exception DROP CONSTRAINT exception_resolution_check;
ALTER TABLE exception
    ADD CONSTRAINT exception_resolution_check CHECK (resolution IN ('reported', 'filtered', 'passed', 'void'));
