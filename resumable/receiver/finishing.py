"""Finish uploads: publish the file and tell the application, once, however long its hook takes.

A client of this package that has waited for the hook for a while is told to ask again; the hook goes on in a thread of
its own. Other clients would take that for a failure, so their request stays open.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from ..errors import OptionError
from ..subscription import positional_capacity
from .answers import check_result, progress
from .hashes import FileDiffers, check_file
from .identity import key_of
from .messages import Refusal, Request
from .signals import ReceiverSignals
from .store.base import QuickUpload, Store, StoredUpload
from .store.record import UploadRecord
from .store.refusals import Discarded

__all__ = ["Finisher"]

_log = logging.getLogger(__name__)

_ARGUMENTS = ("record", "request")
_MOST_FAILURES = 1000


class _HookRun(Future["UploadRecord | None"]):
    """The future result of a hook that runs in a thread. ``abandoned``: a client was told to ask again meanwhile."""

    abandoned = False


class Finisher:
    """Finishes the uploads of one receiver; see :class:`~resumable.receiver.Receiver` for the hook and its deadline.

    ``timed(step)`` measures a block: ``publish`` or ``hook``.
    """

    def __init__(
        self,
        store: Store,
        signals: ReceiverSignals,
        hook: Callable[..., object] | None,
        deadline: float | None,
        timed: Callable[[str], AbstractContextManager[None]] | None = None,
    ) -> None:
        if deadline is not None and not 0 < deadline <= threading.TIMEOUT_MAX:
            raise OptionError("hook_deadline", deadline, "more than 0 seconds, or None")
        self._store = store
        self._signals = signals
        self._hook = hook
        self._capacity = None if hook is None else positional_capacity(hook, _ARGUMENTS)
        self._deadline = deadline
        self._timed = timed or nullcontext
        self._lock = threading.Lock()
        self._forgotten: dict[UploadRecord, bool] = {}
        """The files whose hook is running, and whether they are to be forgotten after it."""
        self._running: dict[str, _HookRun] = {}
        """The hooks that run in threads, by the keys of their uploads, and failures that nobody heard of yet."""

    @property
    def owns_files(self) -> bool:
        """Whether the application owns the published files: it does if it is told of them."""
        return self._hook is not None or bool(self._signals.file_received.receivers)

    def finish(self, upload: StoredUpload, session: str, request: Request) -> UploadRecord | None:
        """Publish the file of an upload that has all its chunks, and call the hook.

        Return the record if this request did it, and None if another one did. Raises :class:`Refusal`, also if the hook
        needs longer than the client waits, and what the hook raises.
        """
        key = key_of(upload.record)
        running = self._running.get(key)
        if running is None:
            try:
                with self._timed("publish"):
                    if self._hook is None and isinstance(upload, QuickUpload):
                        record = upload.publish_announced(check_file, collected=self.owns_files, session=session)
                        return self._received(record)
                    upload.publish(check_file)
            except FileDiffers:
                # Nobody can know which of the chunks is wrong.
                upload.discard()
                raise
            if self._hook is None or self._deadline is None or not session:
                return self._announce(upload, session, request)
            running = self._start(key, session, request)
        wait_for([running], self._deadline if session else None)
        if not running.done():
            running.abandoned = True
            sentence = "The application is still working on the file: ask again."
            raise Refusal(503, sentence, ("Retry-After", "1"), progress(upload))
        self._drop(key, running)
        return running.result()

    def forget(self, record: UploadRecord) -> bool:
        """If the hook of the file is running, forget the file after it. Return whether it is running."""
        with self._lock:
            if record in self._forgotten:
                self._forgotten[record] = True
                return True
        return False

    def wait(self, seconds: float) -> None:
        """Wait at most this long for the hooks that run in threads of their own."""
        with self._lock:
            running = list(self._running.values())
        wait_for(running, seconds)

    def _start(self, key: str, session: str, request: Request) -> _HookRun:
        """Call the hook in a thread, unless one does so already, and return its future result."""
        with self._lock:
            running = self._running.get(key)
            if running is not None:
                return running
            for other, each in list(self._running.items()):
                if len(self._running) < _MOST_FAILURES:
                    break
                if each.done():
                    del self._running[other]
            running = self._running[key] = _HookRun()
        thread = threading.Thread(
            target=self._run, args=(key, session, request, running), name="resumable-hook", daemon=True
        )
        try:
            thread.start()
        except RuntimeError as error:  # the system has no room for another thread
            self._drop(key, running)
            running.set_exception(error)
        return running

    def _run(self, key: str, session: str, request: Request, running: _HookRun) -> None:
        try:
            # Opened by this thread, because the request may be over before the hook is.
            upload = self._store.open(key)
            if upload is None:
                raise Discarded
            with upload:
                running.set_result(self._announce(upload, session, request))
        except BaseException as error:
            if running.abandoned:
                _log.exception("on_file_received failed: the next client that asks for the file is told so")
            running.set_exception(error)
        else:
            self._drop(key, running)

    def _drop(self, key: str, running: _HookRun) -> None:
        with self._lock:
            if self._running.get(key) is running:
                del self._running[key]

    def _announce(self, upload: StoredUpload, session: str, request: Request) -> UploadRecord | None:
        forgotten = False

        def call_hook(record: UploadRecord) -> Any:
            nonlocal forgotten
            if self._hook is None:
                return None
            with self._lock:
                self._forgotten[record] = False
            try:
                with self._timed("hook"):
                    arguments = (record, request.without_body())[: self._capacity]
                    return check_result(request.call(self._hook, *arguments))
            finally:
                with self._lock:
                    forgotten = self._forgotten.pop(record)

        record = upload.notify_once(call_hook, collected=self.owns_files, session=session)
        if record is not None and forgotten:
            self._store.forget(key_of(record), record)
        return self._received(record)

    def _received(self, record: UploadRecord | None) -> UploadRecord | None:
        """Tell the handlers of a file, unless another request has done so, and return its record."""
        if record is not None:
            _log.info("received %r", record.published)
            self._signals.emit(self._signals.file_received, record=record)
        return record
