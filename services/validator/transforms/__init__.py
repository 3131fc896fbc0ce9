"""Transforms that are a report's own SQL or Python: queued, run behind the wall, tried."""
