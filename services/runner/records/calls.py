"""Record files as the runner calls for them: each in a child of its own."""

from libs.common.jail import JobServer
from services.runner.engines.sealing import SealedFile
from services.runner.engines.workshop import run_in_child
from services.runner.records.requests import (
    Differences,
    DifferencesRequest,
    FindRequest,
    Found,
    MappingRequest,
    NotOutRequest,
)

_SECONDS = 3600.0
_ANSWER_SECONDS = 30.0


async def collect_not_out(jobs: JobServer, request: NotOutRequest) -> SealedFile:
    """Write the records that are not out; see `services.runner.records.files.write_not_out`."""
    writes = [request.target.parent]
    return await run_in_child(
        jobs, "not_out", request, SealedFile, reads=request.files, writes=writes, timeout_seconds=_SECONDS
    )


async def find(jobs: JobServer, request: FindRequest) -> Found:
    """Find the rows of a key; see `services.runner.records.files.find_records`."""
    return await run_in_child(
        jobs, "find_records", request, Found, reads=request.files, timeout_seconds=_ANSWER_SECONDS
    )


async def lay_out_mapping(jobs: JobServer, request: MappingRequest) -> SealedFile:
    """Write a mapping's valid entries; see `services.runner.records.files.write_mapping`."""
    writes = [request.target.parent]
    return await run_in_child(jobs, "mapping", request, SealedFile, writes=writes, timeout_seconds=_SECONDS)


async def some_differences(jobs: JobServer, request: DifferencesRequest) -> Differences:
    """Read rows of a backtest's differences; see `services.runner.records.files.read_differences`."""
    reads = [request.file]
    return await run_in_child(jobs, "differences", request, Differences, reads=reads, timeout_seconds=_ANSWER_SECONDS)
