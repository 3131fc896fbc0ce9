-- A replay with a draft of a schema takes its past run's extract by a step of its own: `selection` says which.

ALTER TABLE run DROP CONSTRAINT run_selection;
ALTER TABLE run ADD CONSTRAINT run_selection
    CHECK (CASE kind WHEN 'correction' THEN selection IS NOT NULL WHEN 'backtest' THEN true ELSE selection IS NULL END);
