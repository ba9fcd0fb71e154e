"""Add sources to a session as files: examine them, announce them and, with ``auto_upload``, begin their upload."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from .core.records import Notice
from .core.states import SessionState
from .dispatch.dispatcher import Dispatcher
from .dispatch.registry import Addition, FileEntry
from .dispatch.restrictions import Candidate, Restrictions, as_given, shown
from .errors import FileRejected, OptionError, StateError
from .events import file_event
from .file import ResumableFile
from .hooks import Hooks
from .options import Options
from .protocol.part import PartOrder
from .protocol.plan import ChunkOrder, ChunkPlan
from .signals import Signals
from .sources.directory import Select, check_choices, files

__all__ = ["FileAdder"]

logger = logging.getLogger("resumable")

MANY_CHUNKS = 9999
"""Some servers name the files of chunks with four digits."""

AT_ONCE = 256
"""Files that are added together: many, so that what each of them costs is little, and so few that nobody waits for the
session's lock for long."""


_order = lru_cache(maxsize=64)(ChunkOrder)
"""Small files have the same."""


class FileAdder:
    """Adds files to one session. ``make_handle`` makes the handles that users get."""

    def __init__(
        self,
        make_handle: Callable[[FileEntry], ResumableFile],
        options: Options,
        hooks: Hooks,
        signals: Signals,
        dispatcher: Dispatcher,
    ) -> None:
        self._make_handle = make_handle
        self._options = options
        self._hooks = hooks
        self._signals = signals
        self._dispatcher = dispatcher
        self._restrictions = Restrictions(options, hooks)
        self._order = "free" if options.prioritize_first_and_last_chunk else options.chunk_order

    def one(
        self,
        source: Any,
        relative_path: Any,
        *,
        unique_identifier: str | None,
        mime_type: str | None,
        on: Mapping[str, Callable[..., Any]],
    ) -> ResumableFile:
        """Add one file; see :meth:`Resumable.add_file`."""
        if not isinstance(on, Mapping):
            raise OptionError("on", on, "a mapping of events to handlers")
        handlers = [(file_event(event), handler) for event, handler in on.items()]
        for _, handler in handlers:
            self._signals.check(handler)
        self._refuse_closed()
        self._restrictions.make_room([source], self._dispatcher.facts.count)
        candidate = self._restrictions.examine(
            source, relative_path, unique_identifier=unique_identifier, mime_type=mime_type
        )
        try:
            file = self._add(candidate, handlers)
        except BaseException:
            candidate.source.close()
            raise
        self._begin([file])
        return file

    def several(self, batch: Sequence[tuple[Any, Any]], left_out: Iterable[FileRejected] = ()) -> list[ResumableFile]:
        """Add files, each a source and its relative path; see :meth:`Resumable.add_files`. ``left_out`` says what is no
        part of the batch, and why."""
        self._refuse_closed()
        added: list[ResumableFile] = []
        skipped: list[Any] = []
        reasons: list[FileRejected] = []
        examined: list[Candidate] = []

        def skip(source: Any, reason: FileRejected) -> None:
            skipped.append(as_given(source))
            reasons.append(reason)

        for reason in left_out:
            skip(reason.source, reason)
        try:
            self._restrictions.make_room([source for source, _ in batch], self._dispatcher.facts.count)
        except FileRejected as error:
            for source, path in batch:
                skip(source, FileRejected(shown(source if path is None else path), error.option, error.reason))
            batch = ()
        try:
            for source, path in batch:
                try:
                    examined.append(self._restrictions.examine(source, path, refused=len(skipped)))
                except FileRejected as error:
                    skip(source, error)
            with self._dispatcher.announcing():
                while examined:
                    additions = [self._addition(candidate) for candidate in examined[:AT_ONCE]]
                    refusals = self._dispatcher.add(additions, most=self._options.max_files)
                    self._dispatcher.consider()
                    for candidate, addition, refusal in zip(examined, additions, refusals, strict=False):
                        if refusal is None:
                            added.append(addition.entry.subject)
                            continue
                        if self._is_there(candidate):
                            skipped.append(as_given(candidate.given))
                        else:
                            skip(candidate.given, refusal)
                        candidate.source.close()
                    del examined[:AT_ONCE]
                self._dispatcher.skip(reasons)
                for notice in self._announcement(added, skipped):
                    self._dispatcher.notify(notice)
        finally:
            for candidate in examined:
                candidate.source.close()
        for reason in reasons:
            logger.warning("%s", reason)
        self._begin(added)
        return added

    def directory(
        self,
        root: str | os.PathLike[str],
        pattern: str,
        exclude: Iterable[str],
        *,
        select: Select | None,
        links: str,
    ) -> list[ResumableFile]:
        """Add the files below a directory; see :meth:`Resumable.add_directory`."""
        self._refuse_closed()
        exclude = check_choices(pattern, exclude, select, links)
        self._dispatcher.notify(Notice("before_add"))
        dead: list[FileRejected] = []

        def skip(path: str) -> None:
            dead.append(FileRejected(path, "links", "it is a link that leads nowhere"))

        def chosen(path: str, is_directory: bool) -> bool:
            # A tree may be large, and slow to walk: a session that is closed meanwhile ends that.
            self._refuse_closed()
            return select is None or select(path, is_directory)

        return self.several(list(files(root, pattern, exclude, select=chosen, links=links, dead=skip)), dead)

    def _refuse_closed(self) -> None:
        if self._dispatcher.facts.state is SessionState.CLOSED:
            raise StateError("add a file", "the session is closed")

    def _is_there(self, candidate: Candidate) -> bool:
        """Return whether the session has this very source already, under this identifier."""
        there = self._dispatcher.facts.find(candidate.record.unique_identifier or "")
        return there is not None and _same(there.source.path, candidate.source.path)

    def _announcement(self, added: list[ResumableFile], skipped: list[Any]) -> list[Notice]:
        listened_to = self._signals.has_receivers("files_added")
        return [Notice("files_added", extra=(added, skipped))] if listened_to else []

    def _begin(self, added: list[ResumableFile]) -> None:
        if self._options.auto_upload:
            self._dispatcher.begin([file._entry for file in added])

    def _add(self, candidate: Candidate, handlers: Iterable[tuple[str, Callable[..., Any]]]) -> ResumableFile:
        addition = self._addition(candidate)
        file: ResumableFile = addition.entry.subject
        subscriptions = [self._signals.on(event, handler, sender=file) for event, handler in handlers]
        try:
            (refusal,) = self._dispatcher.add(
                [addition], most=self._options.max_files, announcement=self._announcement([file], [])
            )
            if refusal is not None:
                raise refusal
        except BaseException:
            for subscription in subscriptions:
                subscription.off()
            raise
        return file

    def _addition(self, candidate: Candidate) -> Addition:
        options, record = self._options, candidate.record
        plan = ChunkPlan(record.size, options.chunk_size, options.force_chunk_size)
        if plan.count > MANY_CHUNKS:
            logger.warning(
                "%r has %d chunks: some servers take at most 9999; raise chunk_size for those",
                record.relative_path,
                plan.count,
            )
        order = _order(plan.count, self._order, options.prioritize_first_and_last_chunk)
        if options.part:
            order = PartOrder(plan.count, self._order, False, *options.part)
        entry = FileEntry(record, candidate.source, plan)
        entry.subject = self._make_handle(entry)
        hooked = self._hooks.has("preprocess_file") or self._hooks.has("find_uploaded")
        return Addition(entry, order, record.unique_identifier is not None and not hooked)


def _same(one: Any, other: Any) -> bool:
    try:
        return os.path.samefile(one, other)
    except (OSError, TypeError, ValueError):
        # Gone by now, or no path of this machine.
        return bool(one == other)
