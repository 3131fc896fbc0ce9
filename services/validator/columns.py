"""The types of a sealed dataset's columns."""

from collections.abc import Mapping

# Parquet's logical types, as DuckDB names what it reads from them.
_COLUMN_TYPES = {"string": "VARCHAR", "large_string": "VARCHAR", "int64": "BIGINT", "bool": "BOOLEAN"}


def column_type(arrow_type: str) -> str:
    """Return DuckDB's name for a column type that Arrow names.

    Raises:
        ValueError: sealed datasets have no such columns.
    """
    if arrow_type in _COLUMN_TYPES:
        return _COLUMN_TYPES[arrow_type]
    if arrow_type.startswith("decimal"):
        return "DECIMAL" + arrow_type[arrow_type.index("(") :].replace(" ", "")
    if arrow_type.startswith("date32"):
        return "DATE"
    if arrow_type.startswith("timestamp"):
        return "TIMESTAMP WITH TIME ZONE" if "tz=" in arrow_type else "TIMESTAMP"
    if arrow_type.startswith(("int", "uint")):
        return "BIGINT"
    raise ValueError(f"a sealed dataset has no columns of type {arrow_type}")


def column_types(arrow_types: Mapping[str, str]) -> dict[str, str]:
    """Return DuckDB's names for columns' types that Arrow names; raises as `column_type`."""
    return {name: column_type(kind) for name, kind in arrow_types.items()}
