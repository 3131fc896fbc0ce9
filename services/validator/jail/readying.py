"""Given records made ready for a transform as the runner makes an extract's: typed, numbered, named by their key."""

from collections.abc import Sequence
from typing import Any

from libs.common.vocabulary.schemas import SchemaSpec
from libs.expressions import business_key, quote_identifier, quote_literal, typed_columns
from services.validator.jail.engine import Resources, open_engine


def run(job: dict[str, Any], descriptors: Sequence[int]) -> dict[str, Any]:
    """Type the texts of a Parquet file; values that do not conform to the schema are null."""
    given, ready = (f"/proc/self/fd/{descriptor}" for descriptor in descriptors)
    schema = SchemaSpec.model_validate(job["schema"])
    types = {field.name: "VARCHAR" for field in schema.fields}
    key = business_key(schema, job["business_key"], types) if job["business_key"] else "CAST(r._ordinal AS VARCHAR)"
    columns = ", ".join(f"{one.sql} AS {quote_identifier(one.name)}" for one in typed_columns(schema, types))
    engine = open_engine(Resources(), [given, ready], "")
    engine.execute(
        f"COPY (SELECT r._ordinal, {key} AS _key, {columns} FROM read_parquet({quote_literal(given)}) AS r) "
        f"TO {quote_literal(ready)} (FORMAT parquet, COMPRESSION zstd, USE_TMP_FILE false)"
    )
    return {}
