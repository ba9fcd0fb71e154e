"""Probes: tests of chunks ahead of their turn, beside the uploads.

A chunk is mostly tested in the slot in which it is sent then, if the server lacks it. That costs a round trip each
time, and only as many tests are under way as there are slots. So chunks are also tested ahead, on connections of their
own. What the server has is done then, and what it lacks waits to be sent without another test.

* It is done for a file of which the server had something, because in a new one few tests are needed, and for the first
  chunk of files whose turn is near.
* The first chunks of new files are tested in their turn while chunks are answered quickly: then a request of its own
  costs this process more than the wait.
* There are only as many probes that some chunks are ready to be sent at any time. As long as the server has all that it
  is asked for, that means all that are possible: with each such answer there may be one more, up to the limit of
  connections, which the uploads share.
* Whatever comes of it, a probe costs one request and nothing else. If it gets no answer that says something, its chunk
  is tested in its turn as if it had never been. There are no probes then before something was stored, and from then on
  half as many as there were: a server may refuse what is too much, or have no thread for so many connections.

How long an answer is waited for is up to whoever performs the test.
"""

from __future__ import annotations

import math

from .file import FileCore
from .retry import SessionPolicy
from .states import FileState

__all__ = ["Probes", "may_be_ahead"]

QUICK = 0.005
"""Seconds from the lease of a chunk to its answer, below which nothing is gained by a test ahead of it."""

FADING = 0.8
"""How much of what earlier answers took counts with the next."""


class Probes:
    """The probes of a session. Owned by its core. ``live`` are the leases of those under way, and whether the server
    probably lacks their chunks."""

    def __init__(self, policy: SessionPolicy, live: dict[int, bool]) -> None:
        self._connections = policy.connections if policy.test_chunks and not policy.test_every_chunk else 0
        self._most = self._connections
        self._window = policy.slots
        self._live = live
        self._pace = math.inf

    def free(self, live: int) -> bool:
        """Return whether another one may begin beside so many requests, probes among them."""
        return live < self._connections and len(self._live) < min(self._window, self._most)

    @property
    def pay_for_new_files(self) -> bool:
        """Whether the first chunks of new files may be tested ahead."""
        return self._pace >= QUICK

    def leave_room(self, live: int) -> bool:
        """Return whether an upload may begin beside so many requests, some of which are probes."""
        return live < self._connections

    @property
    def lacking(self) -> int:
        """How many are under way for chunks that the server probably lacks."""
        return sum(self._live.values())

    def begin(self, identifier: int, *, lacking: bool) -> None:
        """Note that a probe begins. ``lacking``: the server probably lacks its chunk."""
        self._live[identifier] = lacking

    def end(self, identifier: int) -> None:
        """Note that a probe is over."""
        del self._live[identifier]

    def found(self) -> None:
        """Note that the server has a chunk that it was asked for."""
        self._window = min(self._window + 1, self._connections)

    def failed(self) -> None:
        """Note that a probe got no answer that says something."""
        if self._window:
            self._most = min(self._window, self._most) // 2
            self._window = 0

    def progressed(self, seconds: float) -> None:
        """Note that something is stored, so many seconds after its lease."""
        self._window = self._window or 1
        self._pace = seconds if self._pace == math.inf else FADING * self._pace + (1 - FADING) * seconds


def may_be_ahead(file: FileCore) -> bool:
    """Return whether the chunk at the file's cursor may be tested ahead of its turn. The first decides about the
    others, and the last may be early."""
    if file.state not in (FileState.READY, FileState.UPLOADING) or not file.prepared or not file.order.tests_ahead:
        return False
    if file.draining or file.confirming or file.untested or file.asked_enough or file.complete or file.confirms_first:
        return False
    if file.cursor == 0:
        return True
    return file.bytes_skipped > 0 and file.cursor < file.length - 1 and file.is_done(0)
