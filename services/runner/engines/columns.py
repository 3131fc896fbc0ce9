from libs.common.vocabulary.schemas import SchemaField

_TYPES = {
    "text": "VARCHAR",
    "integer": "BIGINT",
    "boolean": "BOOLEAN",
    "date": "DATE",
    "timestamp": "TIMESTAMP WITH TIME ZONE",
}


def duckdb_type(field: SchemaField) -> str:
    """Return the DuckDB type that holds the field's values, as DuckDB itself writes it."""
    return f"DECIMAL({field.precision},{field.scale})" if field.type == "decimal" else _TYPES[field.type]
