from prometheus_client import Counter, Histogram

TRANSFORMS = Counter("regent_transforms_total", "Transforms of reports' own code ended", ["kind", "outcome"])
TRIES = Counter("regent_transform_tries_total", "Tries of reports' own code on given records", ["kind", "outcome"])
SECONDS = Histogram(
    "regent_transform_seconds",
    "Time to run a report's own code and check its rows",
    ["kind"],
    buckets=(0.03, 0.1, 0.3, 1, 3, 10, 30, 60, 120),
)
