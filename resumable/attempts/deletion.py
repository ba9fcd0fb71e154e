"""Ask receivers of this package to delete what they have of cancelled files."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable

from ..dispatch.registry import FileEntry
from ..dispatch.workers import run_within
from ..errors import ResumableError
from ..protocol.parameters import ChunkFacts
from ..transport.base import NetworkFailure, Stopped
from ..transport.control import RequestControl
from . import messages
from .context import AttemptContext

__all__ = ["Deletion"]

logger = logging.getLogger("resumable")

_SECONDS = 2.0
_PAUSE = 0.05


class Deletion:
    """The requests that delete some files, one after the other. A server that is not a receiver of this package, or did
    not answer yet, gets none."""

    def __init__(self, context: AttemptContext, entries: Iterable[FileEntry]) -> None:
        self._context = context
        self._entries = list(entries)
        self._control = RequestControl()
        self._over = threading.Event()
        self._deadline = time.monotonic() + _SECONDS

    def run(self) -> None:
        """Send the requests, and return when they are answered or time is up. Failures are logged."""
        run_within(_SECONDS, self._delete_all, self._stop)

    def _stop(self) -> None:
        self._over.set()
        self._control.stop(hard=True)

    def _delete_all(self) -> None:
        for entry in self._entries:
            problem = self._delete(entry)
            if problem:
                logger.warning("the server may still have a part of %r: %s", entry.record.relative_path, problem)

    def _delete(self, entry: FileEntry) -> str:
        """Delete a file. Return why that failed; an empty string if the server has nothing of it now."""
        record = entry.record
        subject = entry.subject
        facts = ChunkFacts(
            number=1,
            chunk_size=entry.plan.chunk_size,
            current_chunk_size=entry.plan.length(0, 1),
            total_size=record.size,
            type=record.mime_type,
            identifier=record.unique_identifier or "",
            file_name=record.file_name,
            relative_path=record.relative_path,
            total_chunks=entry.plan.count,
        )
        while True:
            left = self._deadline - time.monotonic()
            if left <= 0:
                return "there was no time to delete it"
            try:
                request = self._context.requests.deletion(facts, lambda: (subject, subject.chunks[0]), left)
                if messages.origin(request.url) not in self._context.origins:
                    return ""
                reply = self._context.transport.send(request, self._control)
            except (NetworkFailure, ResumableError, Stopped) as failure:
                return str(failure) or "there was no time to delete it"
            if reply.status in (204, 404):
                return ""
            if reply.status != 409:
                return messages.describe_response(request.method, request.url, reply)
            # The receiver has not noticed yet that a request of the file was cut off.
            self._over.wait(_PAUSE)
