"""A moment at either end of the calendar, whose zone leads out of it, is refused where it is given."""

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from libs.common.vocabulary.rules import RuleTest
from services.runner.api.creation import NewRun
from services.validator.api.trying import Try

ID = "019b0000-0000-7000-8000-000000000000"
BODIES: list[tuple[type[BaseModel], dict[str, Any]]] = [
    (RuleTest, {"records": [{"id": "1"}]}),
    (NewRun, {"report_id": ID, "business_date": "2026-03-06"}),
    (Try, {"rules": [ID]}),
]


@pytest.mark.parametrize(("model", "body"), BODIES)
def test_a_moment_outside_the_calendar_is_refused(model: type[BaseModel], body: dict[str, Any]) -> None:
    """The years 1 to 9999 in UTC are taken whole, a second more is not."""
    for inside in ("0001-01-01T00:00:00Z", "0001-01-01T02:00:00+02:00", "9999-12-31T23:59:59.999999Z"):
        model.model_validate_json(model.model_validate({**body, "as_of": inside}).model_dump_json())
    for outside in ("0001-01-01T00:00:00+02:00", "9999-12-31T23:59:59-01:00"):
        with pytest.raises(ValidationError, match="years 1 to 9999"):
            model.model_validate({**body, "as_of": outside})
