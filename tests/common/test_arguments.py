"""What an endpoint asks for is read as FastAPI reads it: the same values, the same errors, of every route there is."""

import random
from typing import Annotated, Any

import pytest
from fastapi import Body, Depends, Header, Query, Request
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import get_dependant, request_params_to_args
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import QueryParams

from docs.services import SERVICES, routes
from libs.common.http.arguments import Arguments, readable
from libs.common.http.door import DoorRoute

VALUES = (
    "", "0", "1", "-1", "50", "501", "1e3", "x", "true", "all", "report", "2025-01-31", "2025-02-30", "%00", "%ff", "a+b",
    "2025-01-31T00:00:00Z", "019b0000-0000-7000-8000-000000000000", "x" * 600,
)  # fmt: skip


def dependants(service: str) -> list[Dependant]:
    """Return all that is read of a service's routes, the dependencies of dependencies too."""
    found = [route.dependant for route in routes(service) if isinstance(route, DoorRoute) and readable(route.dependant)]
    for each in found:
        found.extend(each.dependencies)
    return found


def queries(names: list[str]) -> list[str]:
    """Return query strings: nothing, each value for each name, and mixtures with repetitions and strangers."""
    chance = random.Random(7)  # noqa: S311 - the same every time
    single = [f"{name}={value}" for name in names for value in VALUES]
    many = ["&".join(chance.choices([*single, "stranger=1", "limit", "&"], k=4)) for _ in range(40)]
    return ["", *single, *many] if names else []


@pytest.mark.parametrize("service", SERVICES)
async def test_every_route_reads_its_query_as_fastapi_does(service: str) -> None:
    """Values and errors are equal, whatever comes in the query."""
    seen = 0
    for dependant in dependants(service):
        arguments = Arguments(Dependant(query_params=dependant.query_params))
        for query in queries([field.alias for field in dependant.query_params]):
            expected, wrong = request_params_to_args(dependant.query_params, QueryParams(query))
            assert await outcome(arguments, query) == (wrong or expected), f"{dependant.call}: {query}"
            seen += 1
    assert seen > 100


def test_what_has_no_body_is_read_here() -> None:
    """One route of a door alone is left to FastAPI: its query is a model."""
    found = [route for service in SERVICES for route in routes(service) if isinstance(route, DoorRoute)]
    assert [one.path for one in found if not one.body_field and not readable(one.dependant)] == ["/v1/exceptions"]


async def outcome(arguments: Arguments, query: str) -> Any:
    """Return what is read of a query, or what is wrong with it."""
    try:
        return await arguments.read(request(query))
    except RequestValidationError as error:
        return error.errors()


def request(query: str, **path: str) -> Request:
    """Return a request with a query and the parts of its path."""
    return Request({"type": "http", "query_string": query.encode(), "path_params": path, "headers": [], "path": "/"})


class Filters:
    """A dependency that is a class."""

    def __init__(self, since: Annotated[int, Query(alias="from")] = 3) -> None:
        self.since = since


async def asked_once(request: Request, depth: int = 1) -> list[int]:
    """Answer with something that can be recognised."""
    return [depth, len(request.scope["path"])]


async def further(once: Annotated[list[int], Depends(asked_once)]) -> list[int]:
    """Depend on the same as the endpoint."""
    return once


async def endpoint(
    run_id: int,
    filters: Annotated[Filters, Depends()],
    once: Annotated[list[int], Depends(asked_once)],
    again: Annotated[list[int], Depends(further)],
    word: Annotated[str | None, Query(max_length=3)] = None,
) -> None:
    """Ask for all kinds of things."""


async def values(query: str, **path: str) -> dict[str, Any]:
    """Read the endpoint's arguments."""
    return await Arguments(get_dependant(path="/{run_id}", call=endpoint)).read(request(query, **path))


async def test_dependencies_are_called_once_and_with_what_they_ask_for() -> None:
    """Classes and coroutines, one within the other; the last of a repeated parameter counts."""
    found = await values("from=4&from=5&word=abc", run_id="12")
    assert (found["run_id"], found["word"], found["filters"].since) == (12, "abc", 5)
    assert found["once"] is found["again"]


async def test_all_that_is_wrong_is_said_at_once() -> None:
    """In dependencies, path and query; a dependency with a wrong argument is not called."""
    with pytest.raises(RequestValidationError) as refused:
        await values("from=x&depth=y&word=abcd", run_id="z")
    places = {error["loc"] for error in refused.value.errors()}
    assert places == {("query", "from"), ("query", "depth"), ("path", "run_id"), ("query", "word")}


def sync() -> int:
    """Be a plain function, which FastAPI sends to a thread."""
    return 1


async def with_body(body: Annotated[dict[str, int], Body()]) -> None: ...
async def with_header(given: Annotated[str, Header()]) -> None: ...
async def with_list(given: Annotated[list[str], Query()]) -> None: ...
async def with_sync(given: Annotated[int, Depends(sync)]) -> None: ...
async def within(given: Annotated[None, Depends(with_header)]) -> None: ...


@pytest.mark.parametrize("call", [with_body, with_header, with_list, with_sync, within])
def test_the_rest_is_left_to_fastapi(call: Any) -> None:
    """Bodies, headers, lists and functions for threads, at any depth."""
    assert not readable(get_dependant(path="/", call=call))
