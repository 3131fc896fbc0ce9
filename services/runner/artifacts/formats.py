"""How a value is written in CSV, JSON and XML: the same text everywhere.

Decimals are plain, without trailing zeros or exponent; timestamps `YYYY-MM-DDThh:mm:ss[.ffffff]Z` in UTC without
trailing zeros; dates ISO 8601; booleans `true` and `false`.
"""

from libs.common.vocabulary.schemas import SchemaField
from libs.expressions import quote_identifier, text_of
from libs.expressions.fitting import duckdb_type


def plain_text(field: SchemaField, alias: str = "t") -> str:
    """Return SQL of the field's value as text, null staying null."""
    column = f"{alias}.{quote_identifier(field.name)}"
    if field.type == "text":
        return column
    if field.type == "decimal" and field.scale:
        text = text_of(
            column, duckdb_type(field)
        )  # trimming costs four times as much as looking whether there is a zero
        return f"CASE WHEN suffix({text}, '0') THEN rtrim(rtrim({text}, '0'), '.') ELSE {text} END"
    if field.type == "timestamp":
        return f"replace(CAST(CAST({column} AS TIMESTAMP) AS VARCHAR), ' ', 'T') || 'Z'"
    return f"CAST({column} AS VARCHAR)"
