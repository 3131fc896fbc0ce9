"""Dates in the database: what goes in is what is shown, to the ends of the calendar."""

from datetime import date

import pytest

from libs.common.database.pool import Database


@pytest.mark.parametrize("day", [date.min, date(1999, 12, 31), date(2000, 1, 1), date(2024, 2, 29), date.max])
async def test_a_date_is_shown_as_it_was_given(databases: dict[str, str], day: date) -> None:
    """Lists are written by PostgreSQL, which has a word for a date without bounds; ours all have one."""
    async with (
        Database.open(databases["runner_server"], service="runner", size=1) as database,
        database.connection() as connection,
    ):
        row = await connection.fetchrow("SELECT $1::date AS day, to_json($1::date)::text AS shown", day)
        days = await connection.fetchval("SELECT ARRAY[$1::date, NULL]", day)
    assert (row["day"], row["shown"], days) == (day, f'"{day.isoformat()}"', [day, None])


@pytest.mark.parametrize(("word", "day"), [("infinity", date.max), ("-infinity", date.min)])
async def test_what_was_kept_without_bounds_is_read(databases: dict[str, str], word: str, day: date) -> None:
    """The driver kept the ends of the calendar so before, as first versions' days."""
    async with (
        Database.open(databases["runner_server"], service="runner", size=1) as database,
        database.connection() as connection,
    ):
        assert await connection.fetchval(f"SELECT '{word}'::date") == day
