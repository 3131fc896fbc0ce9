"""What the validator measures of its own work, beside what every service does."""

from prometheus_client import Counter, Histogram

from libs.common.events.runner import ValidationRequested
from services.validator.jail.broker import Outcome

SECONDS = Histogram(
    "regent_validation_seconds", "Time to judge a dataset", ["phase"], buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10, 60, 300)
)
VERDICTS = Counter("regent_validation_verdicts_total", "Verdicts on records", ["outcome"])
JOBS = Counter("regent_validation_jobs_total", "Validations ended", ["outcome"])


def note_verdict(request: ValidationRequested, outcome: Outcome, seconds: float) -> None:
    """Count what came of a dataset that was judged."""
    SECONDS.labels(request.phase).observe(seconds)
    for rule in outcome.rules:
        VERDICTS.labels("pass").inc(rule.passed)
        VERDICTS.labels("fail").inc(rule.failed)
        VERDICTS.labels("unknown").inc(rule.unknown)
