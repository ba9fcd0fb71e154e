"""One chunk while it holds a slot, and what it keeps of its attempts while it holds none."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .states import CHUNK, CONFIRMATION, ChunkEvent, ChunkState, step

if TYPE_CHECKING:
    from .file import FileCore

__all__ = ["NO_ATTEMPTS", "ActiveChunk", "AttemptHistory"]


class AttemptHistory(NamedTuple):
    """What a released chunk keeps of its earlier attempts; ``ambiguous`` as in :class:`ActiveChunk`."""

    retries: int = 0
    tested: bool = False
    limited: int = 0
    ambiguous: bool = False

    @property
    def lacking(self) -> bool:
        """Whether the server was asked for the chunk, lacked it, and did not get it since."""
        return self.tested and not self.ambiguous

    @property
    def forgotten(self) -> AttemptHistory:
        """What is left of it if the chunk begins again."""
        return _UNCERTAIN if self.ambiguous else NO_ATTEMPTS


NO_ATTEMPTS = AttemptHistory()
_UNCERTAIN = AttemptHistory(ambiguous=True)


class ActiveChunk:
    """The record of a slot that is taken. Owned by the session's core. ``prepare``: the slot is taken by the file's
    hooks; ``confirm``: by the question whether the server has the file.

    ``attempt`` is the number of its latest attempt. When that began, the server had nothing of the file (``new``),
    and new files were held back although there might have been room (``speculative``). ``failed`` is the number of
    the session's latest attempt at the time of the failure. The next attempt is ``due`` then, or ``earliest`` if
    others get through. ``limited`` counts failures of the kinds that get few attempts. ``early``: the chunk got its
    turn while others had to be acknowledged before it, see ``holds``; ``ahead``: it is only tested, see ``probes``;
    ``flows``: bytes of its body are on their way. ``ambiguous``: all of its bytes were sent, and nobody knows whether
    the server took them. Its turn began at the time ``leased``.
    """

    __slots__ = (
        "ahead",
        "ambiguous",
        "attempt",
        "confirm",
        "consecutive_failures",
        "due",
        "earliest",
        "early",
        "epoch",
        "failed",
        "file",
        "flows",
        "leased",
        "limited",
        "new",
        "own_failures",
        "position",
        "prepare",
        "retries",
        "speculative",
        "state",
        "successes_seen",
        "tested",
    )

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
        self.state = state
        self.due = self.earliest = self.leased = 0.0
        self.attempt = self.failed = 0
        self.new = self.speculative = self.early = self.ahead = self.flows = False
        self.consecutive_failures = self.own_failures = 0
        self.successes_seen = 0

    @property
    def history(self) -> AttemptHistory:
        """What the chunk keeps if it is released."""
        return AttemptHistory(self.retries, self.tested, self.limited, self.ambiguous)

    def following(self, event: ChunkEvent) -> ChunkState:
        """Return the state after the event. Raises StateError."""
        return step(CONFIRMATION if self.confirm else CHUNK, self.state, event, "chunk")

    def step(self, event: ChunkEvent) -> ChunkState:
        """Change the state by the event, and return it. Raises StateError."""
        self.state = self.following(event)
        return self.state
