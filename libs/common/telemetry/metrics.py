"""The metrics that every service has. Labels are bounded: routes are templates, never paths with ids."""

from prometheus_client import Counter, Gauge, Histogram

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)

HTTP_REQUESTS = Counter(
    "regent_http_requests_total", "HTTP requests answered", ["service", "method", "route", "status"]
)
HTTP_SECONDS = Histogram(
    "regent_http_request_seconds", "Time to answer an HTTP request", ["service", "method", "route"], buckets=_SECONDS
)

POOL_SIZE = Gauge("regent_database_pool_size", "Connections the pool may hold", ["service", "role"])
POOL_IN_USE = Gauge("regent_database_pool_in_use", "Connections lent out", ["service", "role"])
POOL_WAITERS = Gauge("regent_database_pool_waiters", "Requests waiting for a connection", ["service", "role"])
POOL_ACQUIRE_SECONDS = Histogram(
    "regent_database_pool_acquire_seconds", "Wait for a connection", ["service", "role"], buckets=_SECONDS
)

OUTBOX_ROWS = Gauge("regent_outbox_rows", "Events committed but not yet published", ["service"])
OUTBOX_OLDEST_SECONDS = Gauge("regent_outbox_oldest_seconds", "Age of the oldest unpublished event", ["service"])
OUTBOX_PUBLISHED = Counter("regent_outbox_published_total", "Events published", ["service"])
OUTBOX_FAILURES = Counter("regent_outbox_failures_total", "Failed attempts to publish", ["service"])

READER_POSITION = Gauge("regent_reader_position", "Stream sequence applied", ["service", "stream"])
READER_LAG = Gauge("regent_reader_lag", "Messages that wait for this reader", ["service", "stream"])
READER_GAPS = Counter("regent_reader_gaps_total", "Events that are missing before one that was read", ["service"])
READER_EVENTS = Counter("regent_reader_events_total", "Events handled", ["service", "type", "outcome"])
READER_SECONDS = Histogram("regent_reader_batch_seconds", "Time to apply a batch", ["service"], buckets=_SECONDS)

DEAD_LETTERS = Counter("regent_dead_letters_total", "Messages given up", ["service"])

KEYRING_ROWS = Gauge("regent_keyring_rows", "Rows that a key of the ring protects", ["service", "key"])
UNRESEALED = Gauge("regent_unresealed_secrets", "Secrets that no version of their data key opens", ["service"])
KEYRING_UNREADABLE = Gauge("regent_keyring_unreadable_rows", "Rows that no key of the ring opens", ["service"])
