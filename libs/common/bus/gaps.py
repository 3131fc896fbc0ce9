"""Events that never came: an entity's events are numbered without gaps, so that whoever reads all of them sees one."""

from collections import OrderedDict
from collections.abc import Sequence

import orjson
import structlog

from libs.common.bus.subscriptions import matches
from libs.common.telemetry.metrics import READER_GAPS

_LOG = structlog.get_logger(__name__)
_MOST_REMEMBERED = 10_000


class Gaps:
    """Compares each event's number with the last that was seen of its entity, since this process began to read.

    `whole` are the filters under which all events of an entity come; of others some are not meant to be read here. A
    number that was seen before is a message that comes again.
    """

    def __init__(self, service: str, whole: Sequence[str]) -> None:
        self._service = service
        self._whole = whole
        self._last: OrderedDict[tuple[str, str, str], int] = OrderedDict()

    def look(self, subject: str, body: bytes) -> bool:
        """Say whether events are missing before this one, and raise the alarm if so; reading goes on."""
        if not any(matches(pattern, subject) for pattern in self._whole):
            return False
        try:
            event = orjson.loads(body)
            entity, number = (event["tenantid"], event["source"], event["subject"]), int(event["sequence"])
        except (ValueError, TypeError, KeyError):
            return False  # malformed: a dead letter says so
        last = self._last.pop(entity, number - 1)
        self._last[entity] = max(last, number)
        if len(self._last) > _MOST_REMEMBERED:
            self._last.popitem(last=False)
        missing = number > last + 1
        if missing:
            READER_GAPS.labels(self._service).inc()
            _LOG.error("reader.gap", subject=subject, entity=entity[2], after=last, found=number)
        return missing
