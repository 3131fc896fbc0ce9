"""What a dataset's file says of itself, without a look at the data: its columns, its rows, and how its values lie."""

from collections.abc import Mapping

import pyarrow.parquet as pq

from services.validator.columns import column_type


class Footer:
    """The footer of a Parquet file."""

    def __init__(self, path: str) -> None:
        self._metadata = pq.read_metadata(path)
        self.rows: int = self._metadata.num_rows

    def has(self, told: Mapping[str, str]) -> bool:
        """Tell whether the file has the columns that it is said to have, of these DuckDB types."""
        if not told:
            return True
        found = {field.name: str(field.type) for field in self._metadata.schema.to_arrow_schema()}
        return all(name in found and column_type(found[name]) == kind for name, kind in told.items())

    def sound(self, names: frozenset[str]) -> frozenset[str]:
        """Return those of the columns whose values all are ones that their types are for.

        No text is empty; days and instants lie in the years 1 to 9999, which are those that Python knows too.
        """
        groups = [self._metadata.row_group(number) for number in range(self._metadata.num_row_groups)]
        if not groups:
            return frozenset()
        places = {groups[0].column(place).path_in_schema: place for place in range(self._metadata.num_columns)}
        found = names & places.keys()
        return frozenset(name for name in found if all(_is_sound(group.column(places[name])) for group in groups))


def _is_sound(chunk: pq.ColumnChunkMetaData) -> bool:
    statistics = chunk.statistics
    if statistics is None or not statistics.has_min_max:
        return False
    try:
        return statistics.min != "" and statistics.max is not None
    except (ValueError, OverflowError):
        return False
