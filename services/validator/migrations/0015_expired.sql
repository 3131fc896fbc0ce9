-- A waiver whose last day is past is over, whether somebody approved it or not: the same worker looks for both.
ALTER TABLE decision DROP CONSTRAINT decision_status_check, DROP CONSTRAINT decision_check1;
ALTER TABLE decision
    ADD CONSTRAINT decision_status_check
        CHECK (status IN ('proposed', 'active', 'retired', 'conflict', 'withdrawn', 'expired')),
    ADD CONSTRAINT decision_ended
        CHECK ((status IN ('retired', 'conflict', 'withdrawn', 'expired')) = (ended_at IS NOT NULL));
DROP INDEX decision_lapsing;
CREATE INDEX decision_lapsing ON decision (expires_on)
    WHERE status IN ('proposed', 'active') AND expires_on IS NOT NULL;
ALTER POLICY claimer ON decision USING (status IN ('proposed', 'active') AND expires_on IS NOT NULL);
