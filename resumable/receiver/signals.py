"""The blinker signals of a receiver, one for each thing that happens to an upload.

``receiver.signals.file_received.connect(handler)`` is plain blinker: ``handler(sender, *, record)``, where the sender
is the receiver, held weakly unless ``weak=False``. Handlers run on the thread of the request, in the order in which
they were connected, and delay the answer. They only observe: if one raises, the error is logged, the others still run,
and the answer stays the same. Work that must succeed before a client is told that its file has arrived belongs in the
hook ``on_file_received`` of :class:`~resumable.receiver.Receiver`.
"""

from __future__ import annotations

import logging
import threading
from typing import Any

from ..subscription import OrderedSignal

__all__ = ["ReceiverSignals"]

_log = logging.getLogger(__name__)


class ReceiverSignals:
    """The signals of one receiver, each with the arguments that its handlers get besides the sender."""

    def __init__(self, receiver: object) -> None:
        self._receiver = receiver
        lock = threading.RLock()
        self.chunk_received = OrderedSignal("chunk_received", "A new chunk was stored: record, number (from 1).", lock)
        self.file_received = OrderedSignal(
            "file_received", "A whole file was published, and the hook has returned: record.", lock
        )
        self.upload_expired = OrderedSignal(
            "upload_expired", "The sweeper removed an upload that was never finished: record.", lock
        )
        self.upload_discarded = OrderedSignal(
            "upload_discarded", "An unfinished upload was removed by its client or by the application: record.", lock
        )
        self.upload_refused = OrderedSignal(
            "upload_refused",
            "An upload was answered with 400 or more: status, sentence, record (None before it is known).",
            lock,
        )

    def emit(self, signal: OrderedSignal, **facts: Any) -> None:
        """Call all handlers of a signal. Log what they raise."""
        for handler in signal.receivers_of((self._receiver,)):
            try:
                handler(self._receiver, **facts)
            except Exception:
                _log.exception("handler %r of %s raised an exception", handler, signal.name)
