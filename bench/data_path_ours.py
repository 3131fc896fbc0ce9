"""Our side of the data path bench, as the runner and the validator do it: each step in a confined child.

Run by `bench.data_path`: `python -m bench.data_path_ours <url> <table> <folder> <xml|plain>`; prints one line of JSON.
"""

import asyncio
import json
import sys
import time
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bench import data_path_case as case
from libs.common.jail import MIB, JobServer
from libs.common.outbound import OutboundPolicy
from libs.common.vocabulary.connections import PostgresConnector
from libs.common.vocabulary.reports import Output
from libs.expressions import MappingTable, Moment
from services.runner.artifacts.requests import RenderRequest
from services.runner.engines.requests import MappingFile, Transformed, TransformRequest
from services.runner.engines.sealing import Extract
from services.runner.engines.steps import render_artifact, transform_records
from services.runner.engines.workshop import workshop
from services.runner.records.calls import lay_out_mapping
from services.runner.records.requests import MappingRequest
from services.runner.settings import RunnerSettings
from services.runner.sources.extract import extract_query
from services.validator.jail.broker import Request, job_server, validate
from services.validator.plan import ResolvedRule, Subject, build_plan
from services.validator.settings import Settings as ValidatorSettings

_TIMEOUT = 3600.0
_RUNNER, _VALIDATOR = RunnerSettings.model_fields, ValidatorSettings.model_fields


class Run:
    """One run of the report over one table."""

    def __init__(self, url: str, table: str, folder: Path, *, xml: bool) -> None:
        self._url, self._table, self._folder, self._xml = urlsplit(url), table, folder, xml
        self._seconds: dict[str, float] = {}
        self._started = time.perf_counter()

    async def go(self, jobs: JobServer, judges: JobServer) -> dict[str, object]:
        """Run all steps and return what was measured."""
        self._started = time.perf_counter()
        extract = await self._extract(jobs)
        await self._validate(judges, extract)
        transformed = await self._transform(jobs, extract)
        outputs = case.outputs(xml=self._xml)
        hashes = await asyncio.gather(*(self._render(jobs, transformed, output) for output in outputs))
        self._lap("render")
        return {
            "seconds": self._seconds,
            "total": round(sum(self._seconds.values()), 2),
            "out": transformed.output.rows,
            "held": transformed.held,
            "sha256": {output.format: sha256 for output, sha256 in zip(outputs, hashes, strict=True)},
        }

    def _lap(self, name: str) -> None:
        now = time.perf_counter()
        self._seconds[name] = round(now - self._started, 2)
        self._started = now

    async def _extract(self, jobs: JobServer) -> Extract:
        place = self._url
        assert place.hostname is not None and place.port is not None and place.username is not None  # noqa: PT018
        extract = await extract_query(
            jobs,
            connector=PostgresConnector(
                host=place.hostname,
                port=place.port,
                database=place.path[1:],
                user=place.username,
                tls="disable",
                statement_timeout_seconds=3600,
            ),
            password=unquote(place.password or ""),
            query=f"SELECT * FROM {self._table}",
            schema=case.source_schema(),
            business_date=case.BUSINESS_DATE,
            as_of=case.AS_OF,
            target=self._folder / "extract.parquet",
            policy=OutboundPolicy(allowed=frozenset({f"{place.hostname}:{place.port}"})),
        )
        self._lap("extract")
        return extract

    async def _validate(self, judges: JobServer, extract: Extract) -> None:
        subject = Subject(source=case.source_schema(), column_types=extract.column_types, business_key=case.KEY)
        rules = [ResolvedRule(id=name, version=1, spec=spec) for name, spec in case.rules().items()]
        tables = {
            case.identifier(alias): MappingTable(f"map_{alias}", m.columns) for alias, m in case.mappings().items()
        }
        plan = build_plan(subject, rules, tables, Moment(case.BUSINESS_DATE, case.AS_OF))
        memory, threads = _VALIDATOR["memory_mib"].default * MIB, _VALIDATOR["threads"].default
        await validate(judges, Request(plan, extract.path, self._folder, memory=memory, threads=threads))
        self._lap("validate")

    async def _transform(self, jobs: JobServer, extract: Extract) -> Transformed:
        files = {}
        for alias, mapping in case.mappings().items():
            path = self._folder / f"mapping-{alias}.parquet"
            await lay_out_mapping(jobs, MappingRequest(mapping=mapping, business_date=case.BUSINESS_DATE, target=path))
            files[alias] = MappingFile(path=path, columns=mapping.columns)
        request = TransformRequest(
            extract=extract.path,
            column_types=extract.column_types,
            source_schema=case.source_schema(),
            target_schema=case.target_schema(),
            business_key=case.KEY,
            transform=case.transform(),
            mappings=files,
            failures=(self._folder / "failures.parquet",),
            business_date=case.BUSINESS_DATE,
            as_of=case.AS_OF,
            output=self._folder / "transformed.parquet",
            dispositions=self._folder / "dispositions.parquet",
            faults=self._folder / "faults.parquet",
            memory=_RUNNER["engine_memory"].default,
            threads=_RUNNER["engine_threads"].default,
        )
        transformed = await transform_records(jobs, request, timeout_seconds=_TIMEOUT)
        self._lap("transform")
        return transformed

    async def _render(self, jobs: JobServer, transformed: Transformed, output: Output) -> str:
        folder = self._folder / output.format  # one each, as the runner has: a child may write in its own only
        folder.mkdir()
        request = RenderRequest(
            transformed=transformed.output.path,
            target_schema=case.target_schema(),
            output=output,
            xsd_set=case.xsd_set() if output.format == "xml" else None,
            target=folder / f"report.{output.format}",
            report=case.REPORT,
            run_id=case.RUN_ID,
            business_date=case.BUSINESS_DATE,
            as_of=case.AS_OF,
            created=case.AS_OF,
            memory=_RUNNER["engine_memory"].default,
        )
        return (await render_artifact(jobs, request, timeout_seconds=_TIMEOUT)).sha256


async def _main(url: str, table: str, folder: str, kind: str) -> None:
    async with workshop() as jobs, job_server() as judges:
        print(json.dumps(await Run(url, table, Path(folder), xml=kind == "xml").go(jobs, judges)))


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
