"""The steps of a run: each reads sealed files, calls the data plane, and hands in a result."""
