"""The requests of one attempt, and what the answers to them say besides what they say of the chunk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypedDict

from ..core.records import Proof
from ..dispatch.transfers import Transfer
from ..protocol import verdict
from ..protocol.completion import parse_completion
from ..protocol.headers import (
    FILE_HEADER,
    MAX_UPLOADS_HEADER,
    ORDER_ANY,
    ORDER_HEADER,
    SESSION_HEADER,
    FileStatus,
    from_receiver,
    parse_file_status,
    parse_max_uploads,
)
from ..protocol.verdict import STORED_CHUNKS_HEADER
from ..transport.base import Reply, Request
from . import messages
from .context import AttemptContext
from .outcomes import MOST_HOPS

__all__ = ["Exchange", "Heard", "file_status"]

_FILE = FILE_HEADER.lower()
_MAX_UPLOADS = MAX_UPLOADS_HEADER.lower()
_STORED_CHUNKS = STORED_CHUNKS_HEADER.lower()


class Heard(TypedDict, total=False):
    """What belongs to the outcome of an attempt, whatever becomes of the chunk: see :class:`Outcome`."""

    crowded: bool
    stored: tuple[tuple[int, int], ...]
    listed: bool
    believed: bool
    result: Mapping[str, Any] | None
    any_order: bool
    max_uploads: int | None
    takes_questions: bool | None


class Exchange:
    """Sends the requests of one attempt, one after the other, and takes in the answers. Used by one worker.

    ``request`` was sent last, ``reply`` was received last, and ``delivered`` says whether all bytes of the last body
    were sent. ``ours``: an answer about this file came from a receiver of this package; ``proof`` is what such answers
    said of the whole file.
    """

    request = Request("", "")
    reply: Reply | None = None
    delivered = False
    proof = Proof.NONE

    def __init__(self, context: AttemptContext, transfer: Transfer) -> None:
        self._context = context
        self._control = transfer.control
        self._file = transfer.lease.file
        self.ours = transfer.lease.ours
        self.heard: Heard = {}

    def send(self, request: Request) -> Reply:
        """Send the request, and return the answer. Redirects are followed that may be: 307 and 308, with the body."""
        context = self._context
        for _ in range(MOST_HOPS):
            self.request = request
            if context.origins and messages.origin(request.url) in context.origins:
                session = context.session_of(self._file)
                request = request._replace(headers={**request.headers, SESSION_HEADER: session})
            try:
                reply = self.reply = context.send(request, self._control)
            finally:
                if request.body is not None:
                    self.delivered = self._control.whole
            said = reply.headers.get(_MAX_UPLOADS)
            if said is not None:
                self.heard["max_uploads"] = parse_max_uploads(said)
            if from_receiver(reply.headers):
                self._remember(reply)
            there = messages.redirect_target(request.url, reply) if reply.status in (307, 308) else ""
            if not there or not messages.may_follow(request.url, there, context.options.redirect_origins):
                break
            request = request._replace(url=there)
        return reply

    def send_renewing(self, make: Callable[[], Request], request: Request | None = None) -> Reply:
        """Send the request, or the one that ``make`` returns, and return the answer. After a 401 it is made again,
        once, if hooks make its credentials."""
        reply = self.send(request or make())
        if reply.status == 401 and self._context.makes_credentials:
            with self._context.auth_refresh_lock:
                request = make()
            reply = self.send(request)
        return reply

    def _remember(self, reply: Reply) -> None:
        """Take in what a receiver of this package says of itself and of the whole file."""
        self.ours = True
        self._context.origins.add(messages.origin(self.request.url))
        limited = self.heard.get("max_uploads") is not None
        self.heard["any_order"] = reply.headers.get(ORDER_HEADER.lower()) == ORDER_ANY
        self.heard["takes_questions"] = (limited and self._context.requests.may_ask) or None
        status = file_status(reply)
        if status is not None:
            self.proof = Proof.WHOLE if status.whole else Proof.PARTIAL
            self.heard["result"] = parse_completion(reply.headers, reply.text) if status.whole else None
        elif self.proof is Proof.NONE:
            self.proof = Proof.PARTIAL

    def hear_stored(self, reply: Reply, count: int) -> None:
        """Take in which of so many chunks the server has."""
        said = reply.headers.get(_STORED_CHUNKS)
        whole = self.proof is Proof.WHOLE
        self.heard["stored"] = ((0, count),) if whole else verdict.parse_ranges(said or "", count)
        self.heard["listed"] = said is not None and from_receiver(reply.headers)


def file_status(reply: Reply) -> FileStatus | None:
    """Return what the answer of a receiver of this package says of the whole file, or None if it says nothing."""
    return parse_file_status(reply.headers.get(_FILE, ""))
