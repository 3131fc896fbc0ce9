"""Ratios against their bars."""

from dataclasses import dataclass


@dataclass(slots=True)
class Bars:
    """The ratios of one run, and how many missed their bar."""

    missed: int = 0

    def check(self, name: str, value: float, bar: float) -> None:
        """Print one ratio against its bar."""
        met = value <= bar
        self.missed += not met
        print(f"{'ok  ' if met else 'MISS'} {name}: {value:.2f} (at most {bar})", flush=True)

    def require(self, name: str, *, holds: bool) -> None:
        """Print one condition."""
        self.missed += not holds
        print(f"{'ok  ' if holds else 'MISS'} {name}", flush=True)

    def report(self, name: str, value: str) -> None:
        """Print a figure that has no bar."""
        print(f"     {name}: {value}", flush=True)
