"""Every JSON answer that a test receives is what the API's document promises: exactly these fields, of these types."""

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import httpx
import orjson
from fastapi import Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError

from docs.services import SERVICES, routes


def watched(client: httpx.AsyncClient) -> httpx.AsyncClient:
    """Have a client refuse what is answered otherwise than documented, and return it."""
    client.event_hooks["response"].append(_hold_to_its_model)
    return client


async def _hold_to_its_model(answer: httpx.Response) -> None:
    is_json = answer.headers.get("Content-Type", "").partition(";")[0] == "application/json"
    model = promised(answer.request.method, answer.request.url.path, answer.status_code)
    if not answer.is_success or not is_json or model is None:
        return
    wrong = list(faults(model, await answer.aread()))
    asked = f"{answer.request.method} {answer.request.url.path} {answer.status_code}"
    assert wrong == [], f"{asked} is no {model.__name__}: {'; '.join(wrong[:10])}"


def promised(method: str, path: str, status: int) -> type[BaseModel] | None:
    """Return the model of an answer, None where none is documented."""
    found = (route for service in SERVICES for route in routes(service) if _is_at(route, method, path))
    return next((model_of(route, status) for route in found), None)


def model_of(route: APIRoute, status: int) -> type[BaseModel] | None:
    """Return the model by which a route documents its answers of a status."""
    return route.responses.get(status, {}).get("model")


def statuses(route: APIRoute) -> set[int]:
    """Return the statuses with which a route documents that it did what was asked and answers JSON."""
    if route.response_class is Response:  # a page, a stream, a file: it says so by itself
        return set()
    given = {route.status_code or HTTPStatus.OK, *map(int, route.responses)}
    return {status for status in given if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES} - {
        HTTPStatus.NO_CONTENT
    }


def _is_at(route: APIRoute, method: str, path: str) -> bool:
    return method in route.methods and route.path_regex.match(path) is not None


def faults(model: type[BaseModel], body: bytes) -> Iterator[str]:
    """Yield in words where a body is not what a model writes: other types, fields too many or too few."""
    try:
        read = model.model_validate_json(body, strict=True)
    except ValidationError as error:
        yield from (f"{'/'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        return
    yield from _differences(orjson.loads(body), read.model_dump(mode="json", by_alias=True, exclude_unset=True), "")


def _differences(answered: Any, written: Any, place: str) -> Iterator[str]:
    """Yield the places where the model writes another field, or another JSON type, than was answered."""
    if isinstance(answered, dict) and isinstance(written, dict):
        yield from (f"{place}/{name}: not in both" for name in sorted(answered.keys() ^ written.keys()))
        for name in answered.keys() & written.keys():
            yield from _differences(answered[name], written[name], f"{place}/{name}")
    elif isinstance(answered, list) and isinstance(written, list):
        for number, both in enumerate(zip(answered, written, strict=True)):
            yield from _differences(*both, f"{place}/{number}")
    elif _json_type(answered) is not _json_type(written):
        yield f"{place}: {type(answered).__name__} answered, {type(written).__name__} documented"


def _json_type(value: Any) -> type:
    return float if type(value) is int else type(value)
