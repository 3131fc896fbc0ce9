-- A worker looks over all tenants for proposals whose last day is past.
CREATE INDEX decision_lapsing ON decision (expires_on) WHERE status = 'proposed' AND expires_on IS NOT NULL;
CREATE POLICY claimer ON decision TO validator_claimer USING (status = 'proposed' AND expires_on IS NOT NULL);
GRANT SELECT (tenant_id, id, status, expires_on) ON decision TO validator_claimer;
