"""What a tenant asks of a draft before it is published."""

from typing import Literal

from pydantic import Field

from libs.common.vocabulary.base import Strict

Replayed = Literal["rule", "mapping", "schema"]
Published = Literal["rule", "mapping", "schema", "report", "connector", "destination", "xsd_set", "calendar"]


class PublicationPolicy(Strict):
    """Which kinds of definition are tried on past data, and which need a second person, before they are published.

    A backtest of which a replay fails sends the draft back; one with more newly failing records than
    `most_newly_failing` as well, where that is set. A proposal that nobody decides expires.
    """

    require_backtest: tuple[Replayed, ...] = Field(default=(), max_length=3)
    require_approval: tuple[Published, ...] = Field(default=(), max_length=8)
    replayed_runs: int = Field(default=5, ge=1, le=30)
    most_newly_failing: int | None = Field(default=None, ge=0, le=10**12)
    expires_days: int = Field(default=30, ge=1, le=365)

    def required(self, kind: str) -> list[Literal["backtest", "approval"]]:
        """Return what a draft of a kind needs before it is published, in order."""
        named: tuple[tuple[Literal["backtest", "approval"], bool], ...] = (
            ("backtest", kind in self.require_backtest),
            ("approval", kind in self.require_approval),
        )
        return [need for need, asked in named if asked]
