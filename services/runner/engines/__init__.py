"""How data work is done: plain functions over files, each in one DuckDB that is locked down first."""
