"""The HTTP door: rules, trying them, and the records that failed them."""

from fastapi import APIRouter

from libs.common.definitions.api import definition_routes
from services.validator import commands
from services.validator.api.exceptions import exceptions
from services.validator.api.trying import trying

ROUTERS: list[APIRouter] = [trying, exceptions, *(definition_routes(kind) for kind in commands.KINDS.values())]
