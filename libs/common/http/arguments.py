"""What an endpoint asks for, read from a request: its dependencies, the parameters in its path and query.

FastAPI looks into the type of every parameter again for each request, which was a quarter of what a list cost. Here it
is done once, when the route is made. FastAPI's own fields check the values, so that what is wrong is said as it says it.
"""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from fastapi import Request
from fastapi._compat import ModelField, Undefined, field_annotation_is_sequence
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import _get_param_model, _validate_value_with_model_field
from fastapi.exceptions import RequestValidationError

_ELSEWHERE = (
    "header_params",
    "cookie_params",
    "body_params",
    "websocket_param_name",
    "http_connection_param_name",
    "response_param_name",
    "background_tasks_param_name",
    "security_scopes_param_name",
    "concurrency",
)


def readable(dependant: Dependant) -> bool:
    """Say whether `Arguments` can read all that a function asks for; bodies, headers and lists are FastAPI's to read."""
    fields = [*dependant.path_params, *dependant.query_params]
    return (
        not any(getattr(dependant, name) for name in _ELSEWHERE)
        and not any(
            _get_param_model(each) or field_annotation_is_sequence(each.field_info.annotation) for each in fields
        )
        and all(_callable(each.call) and each.use_cache and readable(each) for each in dependant.dependencies)
    )


def _callable(call: Any) -> bool:
    return (
        inspect.isclass(call) or inspect.iscoroutinefunction(call) or inspect.iscoroutinefunction(type(call).__call__)
    )


@dataclass(frozen=True, slots=True)
class _Parameter:
    """A parameter; what it is, and what is wrong, where a request does not have it."""

    field: ModelField
    name: str
    location: tuple[str, str]
    absent: Any
    missing: Sequence[Any]

    @classmethod
    def of(cls, field: ModelField, place: str) -> "_Parameter":
        location = (place, field.alias)
        absent, missing = _validate_value_with_model_field(field=field, value=Undefined, values={}, loc=location)
        return cls(field, field.name, location, absent, missing)

    def read(self, given: Mapping[str, Any]) -> tuple[Any, Sequence[Any]]:
        """Return the value and what is wrong with it."""
        value = given.get(self.location[1])
        return (self.absent, self.missing) if value is None else self.field.validate(value, loc=self.location)


class _Reading:
    """One request while it is read."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.query = dict(parse_qsl(request.scope["query_string"].decode("latin-1"), keep_blank_values=True))
        self.solved: dict[Any, Any] = {}
        self.errors: list[Any] = []


class Arguments:
    """How to read what a function asks for, which is `readable`."""

    def __init__(self, dependant: Dependant) -> None:
        self._dependencies = [(each.name, each.call, Arguments(each)) for each in dependant.dependencies]
        self._path = [_Parameter.of(field, "path") for field in dependant.path_params]
        self._query = [_Parameter.of(field, "query") for field in dependant.query_params]
        self._request = dependant.request_param_name

    async def read(self, request: Request) -> dict[str, Any]:
        """Return the function's arguments.

        Raises:
            RequestValidationError: the request does not fit; it lists all that is wrong.
        """
        reading = _Reading(request)
        values = await self._values(reading)
        if reading.errors:
            raise RequestValidationError(reading.errors)
        return values

    async def _values(self, reading: _Reading) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name, call, arguments in self._dependencies:
            if call not in reading.solved and not await arguments.solve(call, reading):
                continue
            if name is not None:
                values[name] = reading.solved[call]
        for parameters, given in ((self._path, reading.request.path_params), (self._query, reading.query)):
            for parameter in parameters:
                values[parameter.name], wrong = parameter.read(given)
                reading.errors += wrong
        if self._request:
            values[self._request] = reading.request
        return values

    async def solve(self, call: Any, reading: _Reading) -> bool:
        """Call a dependency that asks for these and keep its answer; where they are wrong it is not called."""
        before = len(reading.errors)
        values = await self._values(reading)
        if len(reading.errors) > before:
            return False
        solved = call(**values)
        reading.solved[call] = await solved if inspect.isawaitable(solved) else solved
        return True
