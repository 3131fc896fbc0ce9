"""A job that runs, as its parent sees it."""

import socket
from dataclasses import dataclass

from libs.common.jail.room import Room

DYING_SECONDS = 0.5
"""How long one that is killed for its time is waited for before that is told."""


@dataclass(slots=True)
class Running:
    """Whose it is and what it is called there, its process, when it has to end, what it may write."""

    client: socket.socket
    job: int
    pid: int
    deadline: float
    demoted_at: float
    room: Room | None = None
    demoted: bool = False
    timed_out: bool = False

    @property
    def due(self) -> float:
        """When to see to it next."""
        # one that is killed is waited for, not looked at without a pause: it would get no processor to die with
        end = self.deadline + DYING_SECONDS * self.timed_out
        return end if self.room is None or self.room.exceeded else min(end, self.room.due)
