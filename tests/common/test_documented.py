"""What holds answers against their document notices each kind of difference."""

from typing import Any

import httpx
import orjson
import pytest

from tests.documented import watched

POLICY = {"second_person": True, "due_hours": 24}


async def answered(path: str, body: Any) -> httpx.Response:
    """Return the answer to a GET of somebody who says a given body."""
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=body))
    async with watched(httpx.AsyncClient(transport=transport, base_url="http://api")) as client:
        return await client.get(path)


async def test_what_is_documented_passes() -> None:
    """An answer arrives as it is."""
    assert (await answered("/v1/exceptions/policy", POLICY)).json() == POLICY


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"due_hours": "24"}, "due_hours: Input should be a valid integer"),
        ({"due_hours": None}, "due_hours: Input should be a valid integer"),
        ({"more": 1}, "more: Extra inputs are not permitted"),
        ({"second_person": ...}, "second_person: Field required"),
    ],
)
async def test_another_answer_is_refused(change: dict[str, Any], said: str) -> None:
    """Another type, null where none is promised, a field too many or too few."""
    body = {name: value for name, value in {**POLICY, **change}.items() if value is not ...}
    with pytest.raises(AssertionError, match=said):
        await answered("/v1/exceptions/policy", body)


async def test_a_number_is_no_decimal_as_text() -> None:
    """What a model would read and write otherwise is refused too."""
    named = {"id": "0190a0a0-0000-7000-8000-000000000001", "revision": 1, "created_by": "user:1"}
    times = dict.fromkeys(("created_at", "changed_at"), "2026-03-03T06:00:00+00:00")
    shown = {**named, **times, "spec": {"metric": "error_rate", "warning": "0.5"}}
    path = f"/v1/indicator-thresholds/{named['id']}"
    assert orjson.loads((await answered(path, shown)).content) == shown
    with pytest.raises(AssertionError, match="/spec/warning: float answered, str documented"):
        await answered(path, {**shown, "spec": {"metric": "error_rate", "warning": 0.5}})
