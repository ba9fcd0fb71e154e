"""The work of a lease: the hooks of a file, or one attempt at a chunk. It becomes an outcome.

Runs on a worker with no lock held. Whatever is raised becomes an Outcome, except what was not foreseen.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from operator import index
from typing import Any

from ..core.records import Outcome, OutcomeKind
from ..dispatch.leases import BeginSend
from ..dispatch.registry import FileEntry
from ..dispatch.transfers import Transfer
from ..errors import ResumableError, UploadError, redact_option
from ..hooks import Hooks
from ..options import Options
from ..protocol import identifiers
from ..protocol.plan import ChunkPlan
from ..sources.base import as_source_errors
from ..transport.base import SourceFailure, Stopped, Transport
from .attempt import Attempt
from .context import AttemptContext
from .deletion import Deletion
from .question import Question

__all__ = ["LeaseRunner"]

logger = logging.getLogger("resumable")


class LeaseRunner:
    """Performs the leases of one session. The hooks know the latest ``query``: it may be replaced meanwhile."""

    def __init__(self, options: Options, hooks: Hooks, transport: Transport) -> None:
        self._options = options
        self._context = AttemptContext(options, hooks, transport)

    def limit_rate(self, rate: int | None) -> None:
        """Limit the bytes a second of all requests together, from now on."""
        self._context.requests.limit_rate(rate)

    def perform(self, transfer: Transfer, begin_send: BeginSend) -> Outcome:
        """Return the outcome of the lease. ``begin_send`` is called between the test and the sending of a chunk that
        the test did not find, with the outcome of the test, and says whether the chunk may be sent."""
        entry, lease = transfer.entry, transfer.lease
        try:
            if lease.after:
                self._context.hooks.each("after_file", entry.subject)
                return Outcome(OutcomeKind.PREPARED)
            if lease.prepare:
                return self._prepare(entry)
            if lease.files:
                return Question(self._context, transfer).ask()
            attempt = Attempt(self._context, transfer)
            if lease.position == 0 and not (lease.retries or lease.confirm or lease.ahead):
                size, count = entry.record.size, entry.plan.count
                logger.info("uploading %r: %d bytes in %d chunks", entry.record.relative_path, size, count)
            if lease.confirm:
                return attempt.completed(attempt.confirm())
            if lease.test:
                tested = attempt.completed(attempt.test())
                if tested.kind is not OutcomeKind.ABSENT or lease.ahead:
                    return tested
                if not begin_send(transfer, tested):
                    return tested._replace(kind=OutcomeKind.STOPPED)
            return attempt.completed(attempt.upload())
        except Stopped:
            return Outcome(OutcomeKind.STOPPED)
        except (SourceFailure, ResumableError) as failure:
            error = failure.cause if isinstance(failure, SourceFailure) else failure
            if isinstance(error, UploadError) and error.file is None:
                error.file = entry.subject
                error.chunk = (
                    None if lease.prepare or lease.confirm or lease.files else entry.subject.chunks[lease.index]
                )
            return Outcome(OutcomeKind.REFUSED, message=str(error), error=error)

    def delete(self, entries: Iterable[FileEntry]) -> None:
        """Ask the receivers of this package for the deletion of these cancelled files, for at most 2 s."""
        Deletion(self._context, entries).run()

    def abandon(self, entry: FileEntry, failed: Callable[[str, Any, BaseException], None]) -> None:
        """Call the hooks of a file that was given up. Those that raise are logged, and reported to ``failed``."""
        for hook, error in self._context.hooks.attempt_each("on_abort", entry.subject):
            logger.error("%r was given up, but %s", entry.record.relative_path, error, exc_info=error.__cause__)
            failed("on_abort", hook, error)

    def _prepare(self, entry: FileEntry) -> Outcome:
        options = self._options
        # The hook may have run before, and its outcome been dropped, because the file was cut anew meanwhile or its
        # identifier was taken. Run again, it would get the bytes that it returned itself.
        name = entry.record.file_name
        source = None if entry.replaced else self._context.replaced("preprocess_file", entry.subject, name)
        if source is not None:
            entry.source.close()
            entry.source = source
            entry.record = entry.record._replace(size=source.size)
            entry.replaced = True
        plan = ChunkPlan(entry.record.size, options.chunk_size, options.force_chunk_size) if entry.replaced else None
        if entry.record.unique_identifier is None:
            with as_source_errors(entry.source.name):
                asked_for = options.generate_unique_identifier is identifiers.content
                identify = identifiers.content if asked_for else identifiers.without_time
                identifier = identify(entry.source.path, entry.record.relative_path)
            entry.record = entry.record._replace(unique_identifier=identifier)
        stored = self._find_uploaded(entry)
        return Outcome(OutcomeKind.PREPARED, plan=plan, stored=stored)

    def _find_uploaded(self, entry: FileEntry) -> tuple[tuple[int, int], ...]:
        """Return the ranges of chunk indexes that are stored, as the user's program knows. Raises HookError."""
        found, label = self._context.hooks.decide("find_uploaded", entry.subject)
        try:
            pairs = [(index(first), index(last)) for first, last in found or ()]
        except (TypeError, ValueError):
            raise self._context.hooks.returned(
                label, redact_option("find_uploaded", found), "pairs of chunk indexes"
            ) from None
        return tuple((first, last + 1) for first, last in pairs)
