"""Asks a tenant's own queries, on a locked engine beside the validation's own that can read the data and write nothing."""

import duckdb
import pyarrow as pa

from libs.expressions import quote_identifier, quote_literal
from services.validator import queries
from services.validator.checks import Question
from services.validator.jail.engine import open_engine
from services.validator.jail.work import Judgement, one, reason


def ask_all(work: Judgement) -> None:
    """Find the records that each query selects; what goes wrong is the rule's error, not a verdict."""
    if not work.plan.questions:
        return
    engine = open_engine(work.resources, work.files.readable(), work.files.spill, fresh=True, sums=True)
    try:
        _define(work, engine)
        for question in work.plan.questions:
            _ask(work, engine, question)
    finally:
        engine.close()


def _define(work: Judgement, engine: duckdb.DuckDBPyConnection) -> None:
    """Make what every query may read; of small data the typed records are kept, of large data they are read again."""
    engine.execute(f"CREATE VIEW extract AS SELECT * FROM read_parquet({quote_literal(work.files.data)})")
    corrected_by = {join.table for correction in work.plan.corrections for join in correction.joins}
    for table, path in zip(work.mappings, work.files.mappings, strict=True):
        if table in corrected_by:
            source = f"SELECT * FROM read_parquet({quote_literal(path)})"
            engine.execute(f"CREATE TABLE {quote_identifier(table)} AS {source}")
    engine.execute(queries.define_records(work.plan, work.broken, kept=not work.resources.spill_bytes))
    engine.execute(queries.define_previous(work.plan, work.files.previous))
    engine.execute(queries.define_previous_records(work.plan))
    engine.execute(queries.define_run(work.plan))


def _ask(work: Judgement, engine: duckdb.DuckDBPyConnection, question: Question) -> None:
    table = f"s{next(work.numbers)}"
    tally = work.tallies[question.rule_id]
    try:
        found = _ordinals(work, engine, question)
        work.engine.register("isolated", found)
        work.engine.execute(f"CREATE TEMP TABLE {table} AS SELECT _ordinal FROM isolated")
        work.engine.unregister("isolated")
        known = one(work, f"SELECT count(*) FROM {table} WHERE _ordinal IN (SELECT _ordinal FROM extract)")[0]
    except duckdb.Error as error:
        tally.errors, tally.problem = work.rows, reason(error)
        return
    if known != found.num_rows:
        tally.errors, tally.problem = work.rows, "the query gives ordinals that no record has"
    elif known:
        tally.failed = known
        work.sets.append((question, table))


def _ordinals(work: Judgement, engine: duckdb.DuckDBPyConnection, question: Question) -> pa.Table:
    """Return the distinct ordinals, asked on a connection of its own: what one query left behind, no other sees.

    One more ordinal than there are records shows that some are foreign.
    """
    with engine.cursor() as connection:
        paths = dict(zip(work.mappings, work.files.mappings, strict=True))
        for alias, table in question.aliases.items():
            source = f"SELECT * FROM read_parquet({quote_literal(paths[table])})"
            connection.execute(f"CREATE TEMP VIEW {quote_identifier(alias)} AS {source}")
        connection.execute(queries.answer(question, work.rows + 1))
        found: pa.Table = connection.execute("SELECT _ordinal FROM answer").to_arrow_table()  # type: ignore[assignment]
    return found
