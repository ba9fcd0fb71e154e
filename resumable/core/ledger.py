"""The files of a session: what all of them have in common, and how each of them ends.

Whatever changes how much of a file counts as stored goes through here, so that the sums of the session are right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..protocol.plan import ChunkOrder, ChunkPlan
from .collector import EffectCollector
from .file import FileCore
from .part import make_file_core
from .records import Outcome
from .retry import RetryController, SessionPolicy
from .scheduler import FileQueue, Slots
from .states import FILE, FILE_NOOPS, TERMINAL, FileEvent, FileState
from .taken import Taken

__all__ = ["FileLedger"]


class FileLedger:
    """The files by their keys, their queue, and their sums. Owned by the session's core.

    ``open`` is the number of files that have not ended, ``ended`` how those of this run ended, ``unfinished`` the names
    of all that did not end well.
    """

    def __init__(self, policy: SessionPolicy, slots: Slots, retries: RetryController, effects: EffectCollector) -> None:
        self.files: dict[int, FileCore] = {}
        self.ended: dict[int, FileState] = {}
        self.unfinished: dict[int, str] = {}
        self.open = 0
        self.total_size = 0
        self.bytes_done = 0
        self.bytes_skipped = 0
        self.queue = FileQueue(self.files, first_and_last=policy.first_and_last)
        self._policy = policy
        self._slots = slots
        self._retries = retries
        self._effects = effects
        self._keys = 0

    def add(self, plan: ChunkPlan, order: ChunkOrder, *, prepared: bool, name: str) -> FileCore:
        """Add a file, which waits for its turn, and return it."""
        self._keys += 1
        file = make_file_core(self._keys, plan, order, prepared=prepared, name=name)
        self.files[file.key] = file
        self.total_size += file.size
        self.open += 1
        self.unfinished[file.key] = file.name
        self.queue.add(file)
        self._effects.added(file)
        return file

    def transition(self, file: FileCore, event: FileEvent) -> bool:
        """Give the file the state that follows, and return whether the event changed something."""
        if (file.state, event) in FILE_NOOPS:
            return False
        file.state = FILE[file.state, event]
        return True

    def stop(self, file: FileCore, *, announce: bool = False) -> None:
        """Stop the requests of the file that are on the wire. ``announce``: its progress is told if there were any."""
        stopped, fresh = self._slots.stop(file)
        self.queue.add(file)
        self._effects.stop(stopped)
        if fresh and announce:
            self._effects.progress(file)

    def mark(self, file: FileCore, ranges: Iterable[tuple[int, int]], *, believed: bool = False) -> None:
        """Take the chunks at these ranges for stored: the server had them already."""
        gained = file.mark(ranges, believed=believed)
        self.queue.add(file)
        self.bytes_done += gained
        self.bytes_skipped += gained

    def rechunk(self, file: FileCore, plan: ChunkPlan) -> None:
        """Cut the file by this plan, and take nothing of it for stored."""
        self.total_size -= file.size
        self.bytes_done -= file.bytes_done
        self.bytes_skipped -= file.bytes_skipped
        file.rechunk(plan)
        self.total_size += file.size
        self.queue.add(file)
        self._effects.chunked(file)

    def count(self, file: FileCore, change: Callable[[], None]) -> None:
        """Let the file change what it takes for stored, and count it for the session."""
        done, skipped = file.bytes_done, file.bytes_skipped
        change()
        self.bytes_done += file.bytes_done - done
        self.bytes_skipped += file.bytes_skipped - skipped

    def complete(self, file: FileCore, message: str | None) -> None:
        """End the file, of which the server has every chunk, or let it wait to be confirmed."""
        if file.unproven or file.confirming:
            if file.withheld is None:
                file.message = message
                self.count(file, file.withhold_last)
            self.queue.add(file)
        else:
            self.conclude(file, message)

    def conclude(self, file: FileCore, message: str | None) -> None:
        """End the file, which the server has, or let its hook run first, once."""
        if not self._policy.after_file:
            self.finish(file, message)
        elif file.taken is None:
            file.take_in(Taken(message, file.result, file.response))
            if file.withheld is None:
                self.count(file, file.withhold_last)
            self.queue.add(file)

    def finish(self, file: FileCore, message: str | None) -> None:
        """End the file, which the server has."""
        if file.withheld is not None:
            self.count(file, file.count_all)
            self._effects.progress(file)
        self.transition(file, FileEvent.FINISH)
        file.message = message
        self._end(file)
        self._effects.add("file_success", file, message=message)

    def fail(self, file: FileCore, outcome: Outcome, index: int | None) -> None:
        """End the file with the error of the outcome, which was about the chunk with this index, if about any."""
        self.transition(file, FileEvent.FAIL)
        file.error, file.message = outcome.error, outcome.message
        self._end(file, refused=not outcome.busy)
        self.stop(file)
        if index is not None:
            self._effects.add("chunk_error", file, index, message=outcome.message, response=outcome.response)
        for event in ("file_error", "error"):
            self._effects.add(event, file, message=outcome.message)
        if self._policy.fail_fast:
            for other in [other for other in self.files.values() if other.state not in TERMINAL]:
                self.cancel(other, "fail_fast")

    def cancel(self, file: FileCore, reason: str, *, announce: bool = True, abandon: bool = True) -> None:
        """Remove the file from the session, and stop its requests. ``abandon``: its hook is told, if it had not ended
        well."""
        if abandon and self._policy.on_abort and file.state is not FileState.SUCCESS:
            self._effects.abandon(file)
        del self.files[file.key]
        self.unfinished.pop(file.key, None)
        self.total_size -= file.size
        self.bytes_done -= file.bytes_done
        self.bytes_skipped -= file.bytes_skipped
        cancelled = self.transition(file, FileEvent.CANCEL)
        if announce:
            # A file that has ended has no more events, but the session has shrunk.
            self._effects.progress(file if cancelled else None)
        if cancelled:
            file.reason = reason
            self.stop(file)
            self._end(file)
            self._effects.add("file_cancelled", file, extra=(reason,))
        else:
            self._effects.end(file)

    def _end(self, file: FileCore, *, refused: bool = False) -> None:
        if file.stored or refused:
            self._retries.make_room()
        self.open -= 1
        self.ended[file.key] = file.state
        self._effects.end(file)
        if file.state is FileState.SUCCESS:
            self.unfinished.pop(file.key, None)

    def reopen(self, file: FileCore) -> None:
        """Let the file, which had ended, wait for its turn again."""
        self.open += 1
        self.ended.pop(file.key, None)
        self.unfinished[file.key] = file.name
        self.queue.add(file)
