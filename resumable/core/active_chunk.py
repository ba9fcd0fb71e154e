"""The chunks that hold a slot of the session."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .history import NO_ATTEMPTS, AttemptHistory
from .states import CHUNK, CONFIRMATION, ChunkEvent, ChunkState

if TYPE_CHECKING:
    from .file import FileCore

__all__ = ["ActiveChunk"]


class ActiveChunk:
    """The record of a slot that is taken. Owned by the session's core. ``prepare``: the slot is taken by the file's
    hooks; ``confirm``: by the question whether the server has the file.

    ``attempt`` is the number of its latest attempt. When that began, the server had nothing of the file (``new``),
    and new files were held back although there might have been room (``speculative``). ``failed`` is the number of
    the session's latest attempt at the time of the failure. The next attempt is ``due`` then, or ``earliest`` if
    others get through. ``limited`` counts failures of the kinds that get few attempts. ``early``: the chunk got its
    turn while others had to be acknowledged before it, see ``holds``; ``ahead``: it is only tested, see ``probes``;
    ``flows``: bytes of its body are on their way. ``ambiguous``: all of its bytes were sent, and nobody knows whether
    the server took them. Its turn began at the time ``leased``, and the latest chunk of its connection took ``pace``
    seconds, 0 if that is not known.
    """

    attempt = failed = 0
    due = earliest = leased = pace = 0.0
    new = speculative = early = ahead = flows = False
    consecutive_failures = own_failures = successes_seen = 0

    def __init__(
        self,
        file: FileCore,
        epoch: int,
        position: int,
        history: AttemptHistory = NO_ATTEMPTS,
        *,
        prepare: bool = False,
        confirm: bool = False,
        state: ChunkState = ChunkState.PENDING,
    ) -> None:
        self.file = file
        self.epoch = epoch
        self.position = position
        self.retries, self.tested, self.limited, self.ambiguous = history
        self.prepare = prepare
        self.confirm = confirm
        self.transitions = CONFIRMATION if confirm else CHUNK
        self.state = state

    @property
    def history(self) -> AttemptHistory:
        """What the chunk keeps if it is released."""
        return AttemptHistory(self.retries, self.tested, self.limited, self.ambiguous)

    def step(self, event: ChunkEvent) -> ChunkState:
        """Change the state by the event, and return it. Raises StateError."""
        self.state = self.transitions[self.state, event]
        return self.state
