from datetime import datetime
from itertools import count

from libs.common.objects import Sealed
from libs.common.vocabulary.connections import FileConnector, PostgresConnector
from libs.common.vocabulary.reports import FileSource, QuerySource
from services.runner.commands.results import StepResult
from services.runner.domain.ledger import Balance
from services.runner.engines.drafts import Extracted
from services.runner.engines.errors import SourceError
from services.runner.engines.sealing import SealedFile
from services.runner.engines.selecting import SelectRequest, WidenRequest
from services.runner.engines.workshop import run_in_child
from services.runner.library import CONNECTOR
from services.runner.sources.extract import extract_file, extract_query
from services.runner.steps import ahead
from services.runner.steps.job import Job
from services.runner.steps.plan import dated

_NAME = "extract.parquet"


async def extract(job: Job) -> StepResult:
    """Seal what the source holds now; a draft of what follows comes with the first try only, lest it be what fails.

    Raises:
        DataPathError: the source could not be read.
    """
    started = job.tools.now()
    if job.run["kind"] == "correction":
        return await _result(job, started, await _from_parent(job))
    if job.run["kind"] == "backtest":
        return await _from_past(job, started)
    source = job.plan.report.source
    connector = await job.plan.spec("connector", source.connector_id, CONNECTOR)
    if isinstance(source, FileSource) and isinstance(connector, FileConnector):
        tries = count()
        extracted = await job.patiently(lambda: _from_file(job, source, connector, drafts=next(tries) == 0))
    elif isinstance(source, QuerySource) and isinstance(connector, PostgresConnector):
        extracted = await _from_database(job, source, connector)
    else:
        raise SourceError("connector-unfit", f"A {connector.kind} connector cannot serve a {source.kind} source.")
    return await _result(job, started, extracted)


async def _result(job: Job, started: datetime, extracted: Extracted) -> StepResult:
    sealed = await job.workspace.keep(job.key("extract", _NAME), extracted.path)
    return StepResult(
        step="extract",
        started_at=started,
        balance=Balance(created=extracted.rows, records_out=extracted.rows),
        outputs={"extract": sealed},
        facts={"column_types": extracted.column_types, "rows": extracted.rows},
        main="extract",
        draft=extracted.draft,
    )


async def _from_parent(job: Job) -> Extracted:
    """Take the records that are to be corrected out of the sealed extract of the run that they were in."""
    selection = job.run["selection"]
    extract, ordinals = [await job.workspace.file(Sealed(**selection[name])) for name in ("extract", "ordinals")]
    request = SelectRequest(extract=extract, ordinals=ordinals, target=job.place("extract") / _NAME)
    sealed = await run_in_child(
        job.tools.jobs,
        "select",
        request,
        SealedFile,
        reads=[extract, ordinals],
        writes=[request.target.parent],
        timeout_seconds=job.tools.settings.step_timeout_seconds,
    )
    return Extracted(**sealed.model_dump(), column_types=selection["column_types"])


async def _from_past(job: Job, started: datetime) -> StepResult:
    """Take the sealed extract of the run that is replayed; a field that the draft of its schema adds is in no record."""
    facts, given = (job.run["selection"][name] for name in ("facts", "outputs"))
    outputs = {name: Sealed(**sealed) for name, sealed in given.items()}
    known = facts["column_types"]
    fields = tuple(field.name for field in (await job.plan.source_schema()).fields if field.name not in known)
    if fields:
        outputs["extract"] = await _widened(job, outputs["extract"], fields)
        facts = {**facts, "column_types": {**known, **dict.fromkeys(fields, "VARCHAR")}}
    balance = Balance(created=facts["rows"], records_out=facts["rows"])
    return StepResult("extract", started, balance, outputs, facts, "extract")


async def _widened(job: Job, extract: Sealed, fields: tuple[str, ...]) -> Sealed:
    path = await job.workspace.file(extract)
    request = WidenRequest(extract=path, fields=fields, target=job.place("extract") / _NAME)
    sealed = await run_in_child(
        job.tools.jobs,
        "widen",
        request,
        SealedFile,
        reads=[path],
        writes=[request.target.parent],
        timeout_seconds=job.tools.settings.step_timeout_seconds,
    )
    return await job.workspace.keep(job.key("extract", _NAME), sealed.path)


async def _from_file(job: Job, source: FileSource, connector: FileConnector, *, drafts: bool) -> Extracted:
    root = job.tools.sources.directory(job.run["tenant_id"], connector.root)
    if root is None:
        raise SourceError("root-undeclared", f"The operator has declared no source directory {connector.root!r}.")
    target = job.place("extract") / _NAME
    draft = await ahead.draft_request(job, target) if drafts else None
    return await extract_file(
        job.tools.jobs,
        root=root,
        path=connector.path,
        file=dated(source.file, job.run["business_date"]),
        delimiter=source.delimiter,
        schema=await job.plan.source_schema(),
        target=target,
        timeout_seconds=job.tools.settings.step_timeout_seconds,
        limit=job.run["row_limit"],
        draft=draft,
    )


async def _from_database(job: Job, source: QuerySource, connector: PostgresConnector) -> Extracted:
    # one lease for all tries: catalog lends once an attempt
    loan = await job.tools.leases.loan(job.claim, "extract", source.connector_id)
    schema, tries = await job.plan.source_schema(), count()

    async def read() -> Extracted:
        target = job.place("extract") / _NAME
        draft = await ahead.draft_request(job, target) if next(tries) == 0 else None
        return await extract_query(
            job.tools.jobs,
            connector=connector,
            password=loan.password(job.tools.now()),
            query=source.query,
            schema=schema,
            business_date=job.run["business_date"],
            as_of=job.run["as_of"],
            target=target,
            policy=job.tools.policy,
            limit=job.run["row_limit"],
            draft=draft,
        )

    return await job.patiently(read)
