"""Every record that did not go out, with its reason: one sealed file, sorted by key."""

from dataclasses import dataclass
from pathlib import Path

from libs.expressions import quote_literal
from services.runner.engines.duck import open_duckdb

_FAILURES = """
SELECT key, _ordinal, {step} AS step, 'held' AS disposition, rule_id, rule_version, outcome, fields, message
FROM read_parquet({file}) WHERE severity = 'blocking'
"""
_FILTERED = """
SELECT key, _ordinal, 'transform' AS step, 'filtered' AS disposition, CAST(NULL AS VARCHAR), CAST(NULL AS INTEGER),
  CAST(NULL AS VARCHAR), CAST(NULL AS VARCHAR), 'The report''s selection leaves this record out.'
FROM read_parquet({file}) WHERE disposition = 'filtered'
"""


@dataclass(frozen=True, slots=True)
class Sources:
    """The sealed files that say what became of records; None where nothing happened."""

    failures: Path | None = None
    dispositions: Path | None = None
    faults: Path | None = None
    output_failures: Path | None = None

    @property
    def files(self) -> list[Path]:
        """The files that exist."""
        named = (self.failures, self.dispositions, self.faults, self.output_failures)
        return [path for path in named if path is not None]


def write_records(sources: Sources, target: Path) -> bool:
    """Write the records that are not out to `target`; return False, writing nothing, where all are."""
    if not sources.files:
        return False
    folders = [path.parent for path in sources.files]
    with open_duckdb(target.parent, [*folders, *sources.files]) as engine:
        engine.execute(
            f"COPY (SELECT * FROM ({' UNION ALL '.join(_parts(sources))}) ORDER BY key, _ordinal, rule_id) "
            f"TO {quote_literal(str(target))} (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 20480)"
        )
    return True


def _parts(sources: Sources) -> list[str]:
    held = {
        "validate": sources.failures,
        "transform": sources.faults,
        "validate_output": sources.output_failures,
    }
    parts = [
        _FAILURES.format(step=quote_literal(step), file=quote_literal(str(path)))
        for step, path in held.items()
        if path is not None
    ]
    if sources.dispositions is not None:
        parts.append(_FILTERED.format(file=quote_literal(str(sources.dispositions))))
    return parts
