"""Ask a server what it has of a file, by the tests of an upload, without sending any of it."""

from __future__ import annotations

from typing import Any, NamedTuple

from .. import Resumable, ResumableFile
from ..errors import AuthenticationRefused, RetriesExhausted, ServerRefused, TransportError, UploadError, redact_url
from ..protocol.headers import FILE_HEADER, from_receiver, parse_file_status
from ..protocol.pages import summary
from ..transport.base import NetworkFailure, Reply, Request
from ..transport.control import RequestControl
from ..transport.http import RequestsTransport
from .output.stats import chunks_there
from .params.destination import Destination
from .params.sources import Found

__all__ = ["Inquiry", "NotAnEndpoint", "RemoteFile"]

_ABSENT = frozenset({202, 203, 204, 205, 206, 404, 410})


class RemoteFile(NamedTuple):
    """What the server has of a file. ``state`` is complete, partial, missing, or unknown if its answers do not tell."""

    relative_path: str
    size: int
    unique_identifier: str | None
    state: str
    chunks: int
    chunks_already_there: int
    bytes_confirmed: int


class NotAnEndpoint(ServerRefused):
    """The URL is one of a receiver of this package, but not the one to which it takes uploads."""


class Inquiry:
    """Asks one server about files, within a ``with`` block. Nothing is sent to it but tests."""

    def __init__(self, destination: Destination) -> None:
        self._destination = destination
        options = destination.options
        self._transport = RequestsTransport(options.get("session"), connections=1)

    def __enter__(self) -> Inquiry:
        return self

    def __exit__(self, *_: object) -> None:
        self._transport.close()

    def ask(self, found: Found) -> RemoteFile:
        """Return what the server has of the file.

        Raises SourceError, FileRejected if the options refuse the file, NotAnEndpoint, and UploadError if there is no
        usable answer.
        """
        transport = _TestsOnly(self._transport)
        options = {
            **self._destination.options,
            "auto_upload": False,
            "chunk_order": "sequential",
            "max_chunk_retries": 0,
            "prioritize_first_and_last_chunk": False,
            "simultaneous_uploads": 1,
            "test_chunks": True,
        }
        with Resumable(self._destination.target, **options, transport=transport) as session:
            file = session.add_file(found.path, relative_path=found.relative_path)
            session.join(raise_errors=False)
            return _remote_file(file, transport)


def _remote_file(file: ResumableFile, transport: _TestsOnly) -> RemoteFile:
    if transport.error is not None:
        raise transport.error
    if file.error is not None and not transport.interrupted:
        raise file.error
    chunks, there = len(file.chunks), chunks_there(file)
    if transport.whole or (there == chunks and not transport.sent):
        state, there = "complete", chunks
    elif transport.doubtful:
        state = "unknown"
    else:
        state = "partial" if there else "missing"
    size = file.size if state == "complete" else file.bytes_skipped
    return RemoteFile(file.relative_path, file.size, file.unique_identifier, state, chunks, there, size)


class _TestsOnly:
    """A transport that lets tests through. The chunks that would be sent are counted, and taken for stored.

    ``whole``: the server said that it has the file. ``doubtful``: it said of a chunk that it has it, and was not
    believed. ``interrupted``: it said all that there is to know, so the session was ended.
    """

    def __init__(self, transport: RequestsTransport) -> None:
        self._transport = transport
        self._present = False
        self._ours = False
        self.sent = 0
        self.whole = False
        self.doubtful = False
        self.interrupted = False
        self.error: UploadError | None = None

    def send(self, request: Request, control: RequestControl) -> Reply:
        """Send the request if it is a test. Raises NetworkFailure, also if there is nothing more to find out."""
        if request.body is not None:
            self.sent += 1
            # A receiver of this package says with one test what it has of all chunks, and no others are tested.
            self.doubtful = self.doubtful or (self._present and not self._ours)
            self.interrupted = self._ours or self.error is not None
            if self.interrupted:
                raise NetworkFailure("nothing is sent", permanent=True)
            return Reply(200, {}, "")
        try:
            reply = self._transport.send(request, control)
        except NetworkFailure as failure:
            self._fail(TransportError, request, str(failure), failure)
            raise
        self._present = reply.status in (200, 201)
        self._ours = self._ours or from_receiver(reply.headers)
        said = summary(reply.text)[:200]
        answer = f"{reply.status}" + (f" {said!r}" if said else "")
        if self._ours and reply.status == 404:
            # Of a chunk that it does not have, it says 204.
            answer += "; this is not an upload endpoint: check the URL"
            self._fail(NotAnEndpoint, request, answer, status=404)
            return reply
        status = parse_file_status(reply.headers.get(FILE_HEADER.lower(), ""))
        self.whole = self.whole or (status is not None and status.whole)
        if not self._present and reply.status not in _ABSENT and reply.status not in (307, 308):
            kind: type[UploadError] = AuthenticationRefused if reply.status in (401, 403, 407) else ServerRefused
            if reply.status == 429 or reply.status >= 500:
                kind = RetriesExhausted
            self._fail(kind, request, answer, status=reply.status)
        return reply

    def _fail(
        self, kind: type[UploadError], request: Request, what: str, cause: Exception | None = None, **facts: Any
    ) -> None:
        """Keep the first failure: the session would send the chunk, and see what comes of that."""
        if self.error is None:
            url = redact_url(request.url).partition("?")[0]
            self.error = kind(f"{request.method} {url} → {what}", **facts)
            self.error.__cause__ = cause

    def close(self) -> None:
        """Leave the connections to the other files."""
