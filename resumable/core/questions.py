"""Questions about many files: one request instead of a test for each of them.

They are only for a receiver of this package, which says so in its answers to the tests of the first files. A question
has the turn of the first new file, if many follow of which nobody has asked for a chunk. What the server has of them is
stored then, and what it lacks is sent without a test.

If the server has no time for a question, it is left alone for as long as it says, and asked again: a test for each file
would be so many requests. If a question is not answered, the server does not know it. Then, or if it is busy too often,
it is not asked again.
"""

from __future__ import annotations

from ..protocol.question import MOST_FILES
from .file import FileCore
from .retry import SessionPolicy
from .scheduler import FileQueue

__all__ = ["FEWEST_FILES", "MOST_POSTPONED", "Questions"]

FEWEST_FILES = 16
"""Files from which on they are asked for in one question. The tests of fewer are as fast: they go side by side."""

MOST_POSTPONED = 3
"""How often in a row a server that is busy is asked again."""


class Questions:
    """Whether there may be questions, and about which files. Owned by the session's core."""

    def __init__(self, policy: SessionPolicy) -> None:
        self._possible = policy.test_chunks and not policy.test_every_chunk
        self.answered = False
        """Whether the server answers questions, as far as is known."""
        self.postponed = 0
        """How often in a row the server was busy."""

    def learn(self, takes_questions: bool) -> None:
        """Note whether the server answers questions. Once it does not, it never does."""
        self.answered = self._possible = self._possible and takes_questions

    def told(self, *, busy: bool) -> bool:
        """Note whether the server was too busy for a question, and return whether it is asked again later."""
        self.postponed = self.postponed + 1 if busy else 0
        if self.postponed > MOST_POSTPONED:
            self.learn(False)
        return busy and self.answered

    def about(self, first: FileCore, queue: FileQueue) -> list[FileCore]:
        """Remove the files from the queue that are to be asked for together, and return them; none if the first, whose
        turn it is, has to be tested alone."""
        if not first.untouched:
            return []
        return queue.take_untouched(FEWEST_FILES, MOST_FILES)
