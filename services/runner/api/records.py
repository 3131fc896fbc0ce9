"""The record question: what became of K in R?"""

from datetime import date
from typing import Annotated
from uuid import UUID

from fastapi import Path as InPath
from fastapi import Query, Request, Response

from libs.common.app import Runtime
from libs.common.definitions.answers import document
from libs.common.http.door import Caller, OpenDoor, permission, request_context
from services.runner.api.answers import answer
from services.runner.api.findings import RecordAnswer
from services.runner.records.answer import RecordReader
from services.runner.records.composing import Question

records = OpenDoor("/v1/reports", tag="records")


@records.get("/{report_id}/records/{key:path}", dependencies=[permission("run:read")], responses=document(RecordAnswer))
async def what_became_of(
    request: Request,
    caller: Caller,
    report_id: UUID,
    key: Annotated[str, InPath(max_length=2000)],
    business_date: Annotated[date, Query()],
) -> Response:
    """Say what became of the records of a key in the newest run of a report for a date that came to its end."""
    runtime: Runtime = request.app.state.runtime
    reader = RecordReader(runtime.database, runtime.objects, runtime.extras["jobs"], runtime.extras["scratch"])
    question = Question(report_id, business_date, key)
    return answer(await reader.answer(request_context(request, caller), question))
