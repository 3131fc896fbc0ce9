"""How a run ends, and the sentence that says why."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ending:
    """A final status and its reason."""

    status: str
    reason: str = ""


def conclude(held: int, deliveries: int, undelivered: int) -> Ending:
    """Return how a run ends whose steps are all done: all out and all delivered is `succeeded`, else `partial`."""
    parts = []
    if held:
        parts.append(f"{held} {'record is' if held == 1 else 'records are'} held by blocking rules")
    if undelivered:
        parts.append(f"{undelivered} of {deliveries} deliveries failed")
    return Ending("partial" if parts else "succeeded", "; ".join(parts))
