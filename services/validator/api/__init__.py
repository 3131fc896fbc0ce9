"""The HTTP door: rules, trying them, the records that failed them, and how good runs are."""

from fastapi import APIRouter

from libs.common.definitions.api import definition_routes
from services.validator import commands
from services.validator.api.decisions import DECISIONS
from services.validator.api.exceptions import exceptions
from services.validator.api.indicators import indicators, thresholds
from services.validator.api.resubmissions import RESUBMISSIONS
from services.validator.api.together import TOGETHER
from services.validator.api.transforms import transforms
from services.validator.api.trying import results, trying

ROUTERS: list[APIRouter] = [
    trying,
    results,
    *TOGETHER,
    *DECISIONS,
    transforms,
    *RESUBMISSIONS,
    exceptions,
    indicators,
    thresholds,
    *(definition_routes(kind) for kind in commands.KINDS.values()),
]
