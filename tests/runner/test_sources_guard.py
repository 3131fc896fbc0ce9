import pytest

from services.runner.engines.errors import SourceError
from services.runner.sources.guard import guard


@pytest.mark.parametrize(
    "query",
    [
        "INSERT INTO t VALUES (1)", "UPDATE t SET a = 1", "DELETE FROM t", "TRUNCATE t", "DROP TABLE t",
        "CREATE TABLE x AS SELECT 1", "SELECT * INTO x FROM t", "SELECT 1; SELECT 2", "SELECT 1; DROP TABLE t",
        "WITH x AS (DELETE FROM t RETURNING *) SELECT * FROM x",
        "WITH x AS (INSERT INTO t VALUES (1) RETURNING *) SELECT * FROM x",
        "SELECT * FROM t FOR UPDATE", "SELECT * FROM (SELECT * FROM t FOR SHARE) x",
        "COPY t TO STDOUT", "COPY (SELECT 1) TO PROGRAM 'sh'", "EXPLAIN ANALYZE SELECT 1", "CALL p()", "DO $$ $$",
        "SET statement_timeout = 0", "RESET ALL", "LISTEN x", "VACUUM", "GRANT SELECT ON t TO public", "BEGIN",
        "PREPARE x AS SELECT 1", "EXECUTE x", "LOCK TABLE t", "SHOW ALL", "", "   ", "-- nothing", "not sql at all (",
        "SELECT pg_sleep(10)", "SELECT pg_catalog.pg_sleep(10)", "SELECT PG_SLEEP(10)", 'SELECT "pg_sleep"(10)',
        "SELECT * FROM t WHERE pg_sleep(1) IS NULL", "SELECT pg_read_file('/etc/passwd')",
        "SELECT * FROM pg_ls_dir('.')", "SELECT * FROM t, LATERAL (SELECT pg_read_binary_file('x')) y",
        "SELECT lo_import('/etc/passwd')", "SELECT lo_export(1, '/tmp/x')", "SELECT * FROM dblink('host=x', 'q') AS t(a int)",
        "SELECT dblink_connect('x')", "SELECT set_config('transaction_read_only', 'off', false)",
        "SELECT current_setting('is_superuser')", "SELECT nextval('s')", "SELECT setval('s', 1)",
        "SELECT query_to_xml('DELETE FROM t', true, true, '')", "SELECT database_to_xml(true, true, '')",
        "SELECT pg_terminate_backend(1)", "SELECT pg_advisory_lock(1)", "SELECT pg_notify('a', 'b')",
        "SELECT * FROM t WHERE a = :other", "SELECT * FROM t WHERE a = $1",
    ],
)  # fmt: skip
def test_everything_but_one_plain_select_is_refused(query: str) -> None:
    """Writes, locks, several statements, settings, files, other servers, sleeping and unknown bindings are refused."""
    with pytest.raises(SourceError) as refused:
        guard(query)
    assert refused.value.code == "query-refused"
    assert refused.value.message.startswith("The query is refused: ")


@pytest.mark.parametrize(
    "query",
    [
        "SELECT a, b FROM t",
        "select t.*, lower(x) from s.t left join u using (id) where a in (1, 2) order by 1 desc nulls last",
        "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 5) SELECT * FROM r",
        "SELECT a FROM t UNION ALL SELECT b FROM u",
        "SELECT (x AT TIME ZONE 'Europe/Berlin')::date, count(*) FILTER (WHERE y) OVER (PARTITION BY z) FROM t",
        "SELECT DISTINCT ON (a) a, jsonb_col ->> 'k' FROM t ORDER BY a, b",
        "SELECT 'pg_sleep(1); DROP TABLE t' AS text",
        "SELECT 1;",
    ],
)
def test_plain_selects_pass(query: str) -> None:
    """Joins, windows, recursion, set operations and text that looks like a statement are plain reading."""
    assert guard(query).upper().startswith(("SELECT", "WITH"))


def test_bindings_are_read_from_settings() -> None:
    """Bindings become settings with the right type; text that looks like one, and casts, stay."""
    text = guard("SELECT a::text, ':as_of' AS b FROM t WHERE d = :business_date AND e <= :as_of")
    assert "CAST(CURRENT_SETTING('regent.business_date') AS DATE)" in text.replace("current_setting", "CURRENT_SETTING")
    assert "regent.as_of" in text
    assert "':as_of'" in text
    assert "TIMESTAMPTZ" in text


def test_comments_do_not_survive() -> None:
    """What is executed is written anew from what was checked."""
    assert "hidden" not in guard("SELECT 1 /* hidden */ AS a -- hidden")
