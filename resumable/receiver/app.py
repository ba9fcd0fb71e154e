"""The receiver itself: one request in, one answer out, whatever server and framework are around it.

A GET or HEAD is a test, a POST, PUT or PATCH an upload. The answers are those that resumable.js expects:

====  =================================================================================================
200   the chunk is stored; after the last one, so is the whole file
201   this chunk was the last one missing: the file is published
204   to a test: the chunk is not here
308   the page is behind a slash
400   the request makes no sense: a parameter is missing, the numbers disagree, the body is too short
401   the token is missing or wrong
403   the host is not ours, or a page of others sent the browser here
404   there is nothing at this path
405   the method is none of those that the path has
408   the body did not come in time
409   it makes no sense together with what came before: other sizes, another name or SHA-256, other bytes; or the
      whole file has not the SHA-256 that the client said, and its upload is discarded
411   the request does not say how long its body is
413   it asks for more than this receiver takes
429   there are too many unfinished uploads
460   the chunk has not the SHA-256 that the client said; it is not stored
500   something failed here; the log says what, under the number in the sentence
501   the directory is on a file system where nothing can be published; the log says what to do
503   the same chunk is being sent in another request that does not end
507   there is no room left
====  =================================================================================================
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import secrets
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from urllib.parse import quote

from ..protocol.headers import FILE_HEADER, SERVER_HEADER, WIRE_VERSION, FileStatus, format_file_status
from ..protocol.parameters import ParameterNames
from ..protocol.verdict import STORED_CHUNKS_HEADER, format_ranges
from .access import LOCAL_HOSTS, Access
from .files import FileStore
from .form import parse_query, read_body
from .hashes import FileDiffers, check_chunk, check_file
from .listing import MOST_LISTED, listing
from .messages import Refusal, Request, Response
from .page import page_response
from .parameters import ChunkDescription, ParameterReader, UploadLimits
from .signals import ReceiverSignals
from .store import Store, StoredUpload, UploadRecord
from .sweeper import Sweeper

__all__ = ["Receiver"]

_log = logging.getLogger(__name__)

_TESTS = ("GET", "HEAD")
_UPLOADS = ("POST", "PUT", "PATCH")
_MOST_RANGES = 256
_SERVER = (SERVER_HEADER, WIRE_VERSION)
_WHOLE = (FILE_HEADER, format_file_status(FileStatus(whole=True)))
_FROZEN = {
    "total_size": "a total size",
    "chunk_size": "a chunk size",
    "total_chunks": "a number of chunks",
    "file_name": "a file name",
    "relative_path": "a relative path",
}
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_NO_HANDLES = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)


@dataclass
class _Exchange:
    """One request, and the upload that it turned out to be about."""

    request: Request
    record: UploadRecord | None = None


class Receiver:
    """Takes uploads into ``store``: a directory, or anything that is a :class:`~resumable.receiver.store.Store`.

    ``names`` are the names of the parameters, for clients that rename them;
    ``parameter_names(dialects.FLOWJS)`` are those of flow.js. ``chunk_sha256_parameter_name`` and
    ``file_sha256_parameter_name`` name the hashes that a client may send; None ignores them.

    With a ``token`` every request must carry ``Authorization: Bearer token``. ``tenant(request)`` says on whose behalf
    a request comes, before its body is read, or raises :class:`Refusal`: the same identifier from two tenants is two
    uploads. ``allowed_hosts`` are the names of this server besides addresses, None for any name; ``allowed_origins``
    the origins of other sites whose pages may upload. ``page`` says whether there is a page for people.

    ``max_total_size`` and ``min_chunk_size`` are in bytes; a file in one chunk may be smaller than that.

    ``on_file_received(record)`` is part of finishing: it is called when the file is published, and the client is told
    201 when it returned. If it raises, the client is told 500, and the next time that the last chunk is sent, it is
    called again. ``on_chunk_received(record, number)`` only observes, like the signals in ``signals``.

    Any number of threads, and of processes on one directory, may handle requests.
    """

    def __init__(
        self,
        store: Store | str | os.PathLike[str],
        *,
        names: ParameterNames | None = None,
        chunk_sha256_parameter_name: str | None = "resumableChunkSha256",
        file_sha256_parameter_name: str | None = "resumableFileSha256",
        token: str | None = None,
        tenant: Callable[[Request], str] | None = None,
        allowed_hosts: Iterable[str] | None = LOCAL_HOSTS,
        allowed_origins: Iterable[str] = (),
        page: bool = True,
        max_total_size: int = 2**53 - 1,
        max_chunks: int = 1_000_000,
        min_chunk_size: int = 1,
        on_chunk_received: Callable[[UploadRecord, int], object] | None = None,
        on_file_received: Callable[[UploadRecord], object] | None = None,
    ) -> None:
        self.store: Store = FileStore(store) if isinstance(store, (str, os.PathLike)) else store
        self.names = names or ParameterNames()
        self.signals = ReceiverSignals(self)
        self.limits = UploadLimits(max_total_size, max_chunks, min_chunk_size)
        self._access = Access(token=token, hosts=allowed_hosts, origins=allowed_origins)
        self._reader = ParameterReader(
            self.names,
            self.limits,
            chunk_sha256=chunk_sha256_parameter_name,
            file_sha256=file_sha256_parameter_name,
        )
        self._tenant = tenant
        self._page = page
        self._on_file_received = on_file_received
        if on_chunk_received is not None:
            self.signals.chunk_received.connect(
                lambda sender, record, number: on_chunk_received(record, number), weak=False
            )
        self._file_fields = frozenset({self.names.file, self.names.namespace + self.names.file})

    @property
    def has_token(self) -> bool:
        """Whether every request needs a token."""
        return self._access.has_token

    def allow_host(self, host: str) -> None:
        """Requests under this name are answered from now on; a server around tells what it is bound to."""
        self._access.allow_host(host)

    def sweep(self) -> int:
        """Stale uploads are gone, how many; ``upload_expired`` was sent for each. May be called on any thread."""
        return self.store.sweep(lambda record: self.signals.emit(self.signals.upload_expired, record=record))

    def sweep_every(self, seconds: float = 3600.0) -> Sweeper:
        """A thread that sweeps, at once and then so often, until its ``stop()`` is called or the process ends.

        It is for applications around a receiver: a server of this package sweeps by itself. Threads do not outlive a
        fork, so this has to be called in the process that goes on; it does no harm in several at once. Raises
        :class:`~resumable.errors.OptionError` where ``seconds`` are not more than 0.
        """
        return Sweeper(self.sweep, seconds).start()

    def handle(self, request: Request) -> Response:
        """The answer to the request. Raises nothing; what goes wrong inside is logged and answered with 500.

        The body may not have been read to its end.
        """
        exchange = _Exchange(request)
        try:
            response = self._answer(exchange)
        except Refusal as refusal:
            response = self._refused(exchange, refusal)
        except Exception as error:
            response = self._refused(exchange, _failure(request, error))
        return self._shared(request, response)

    def refuse(self, request: Request, refusal: Refusal) -> Response:
        """The answer to a request that is refused before it can be handled: its length makes no sense, say."""
        return self._shared(request, self._refused(_Exchange(request), refusal))

    def _shared(self, request: Request, response: Response) -> Response:
        return replace(response, headers=(*response.headers, _SERVER, *self._access.shared(request)))

    def _refused(self, exchange: _Exchange, refusal: Refusal) -> Response:
        request, status, sentence = exchange.request, refusal.status, refusal.sentence
        _log.info("%r %r refused with %d: %r", request.method, request.path, status, sentence)
        if request.method in _UPLOADS:
            signal = self.signals.upload_refused
            self.signals.emit(signal, status=status, sentence=sentence, record=exchange.record)
        return _sentence(status, sentence, *refusal.headers)

    def _answer(self, exchange: _Exchange) -> Response:
        request = exchange.request
        self._access.check_host(request)
        methods = self._methods(request.path)
        if request.method not in methods:
            preflight = self._access.preflight(request, methods) if request.method == "OPTIONS" else None
            if preflight is None:
                raise Refusal(405, f"This is for {', '.join(methods)}.", ("Allow", ", ".join(methods)))
            return preflight
        if (page := self._page_part(request)) is not None:
            return page
        self._access.check_token(request)
        if request.method in _UPLOADS:
            self._access.check_origin(request)
        tenant = self._tenant(request) if self._tenant is not None else ""
        if not isinstance(tenant, str):
            raise TypeError(f"the tenant of a request has to be a str, and tenant() returned {type(tenant).__name__}")
        if request.path == "/uploads":
            return listing(self.store.uploads(tenant, limit=MOST_LISTED), self.names)
        if request.method in _TESTS:
            return self._test(exchange, tenant)
        return self._upload(exchange, tenant)

    def _methods(self, path: str) -> tuple[str, ...]:
        if path in ("", "/"):
            return _TESTS + _UPLOADS
        if path == "/uploads" or (self._page and page_response(path) is not None):
            return _TESTS
        raise Refusal(404, "There is nothing at this path.")

    def _page_part(self, request: Request) -> Response | None:
        """The page or a part of it. It holds no data, and so needs no token."""
        if not self._page or request.method not in _TESTS or request.query or request.content_length:
            return None
        mount = request.mount.strip("/")
        if mount and not request.path:
            # The parts of the page are named relative to it, so its path has to end with a slash.
            return Response(308, headers=(("Location", f"/{quote(mount)}/"),))
        return page_response(request.path or "/")

    def _test(self, exchange: _Exchange, tenant: str) -> Response:
        asked, _ = self._read(exchange, tenant)
        record, index = asked.record, asked.index
        upload = self.store.open(_key(record))
        if upload is None:
            return Response(204, headers=(_partial(0, record.total_chunks), (STORED_CHUNKS_HEADER, "")))
        with upload:
            _check_frozen(upload.record, record)
            # Where the end of the upload failed or died in the middle, the client has to send the last chunk again.
            last = record.total_chunks - 1
            waiting = not upload.record.announced and upload.complete()
            headers = (_progress(upload), *_stored_chunks(upload, last if waiting else record.total_chunks))
            if not upload.has(index) or (waiting and index == last):
                return Response(204, headers=headers)
            return _sentence(200, f"Chunk {index + 1} of {record.total_chunks} is stored.", *headers)

    def _upload(self, exchange: _Exchange, tenant: str) -> Response:
        if exchange.request.content_length is None:
            raise Refusal(411, "The request does not say how long its body is.")
        asked, pieces = self._read(exchange, tenant)
        record, index = asked.record, asked.index
        key = _key(record)
        while (upload := self.store.open(key)) is None:
            self.store.create(key, record)
        with upload:
            _check_frozen(upload.record, record)
            if pieces is not None and asked.chunk_sha256 is not None:
                pieces = check_chunk(pieces, asked.chunk_sha256)
            if upload.record.announced:
                if asked.chunk_sha256 is not None:
                    # There is nothing left to compare with, but what was damaged on its way should not seem to be here.
                    deque(pieces or (), maxlen=0)
                return _sentence(200, "The file is stored.", _WHOLE)
            if pieces is None:
                raise Refusal(400, "There is no chunk in the request.")
            if record.file_sha256 is not None:
                upload.expect(record.file_sha256)
            if upload.receive(index, pieces):
                self.signals.emit(self.signals.chunk_received, record=upload.record, number=index + 1)
            # Any chunk sent again asks for an end that failed, or died, in the middle: which one was refused then, and
            # comes again, only its client knows.
            sentence = f"Chunk {index + 1} of {record.total_chunks} is stored."
            if not upload.complete():
                return _sentence(200, sentence, _progress(upload))
            if not self._finished(upload):
                return _sentence(200, sentence, _WHOLE)
        return _sentence(201, "The file is stored.", _WHOLE)

    def _finished(self, upload: StoredUpload) -> bool:
        """The file is published and announced; whether this request is the one that has done it."""
        try:
            upload.publish(check_file)
        except FileDiffers:
            # Which of the chunks is wrong cannot be known.
            upload.discard()
            raise
        told: list[UploadRecord] = []

        def tell(record: UploadRecord) -> None:
            if self._on_file_received is not None:
                self._on_file_received(record)
            told.append(record)

        if not upload.announce(tell):
            return False
        _log.info("received %r", told[0].published)
        self.signals.emit(self.signals.file_received, record=told[0])
        return True

    def _read(self, exchange: _Exchange, tenant: str) -> tuple[ChunkDescription, Iterator[bytes] | None]:
        """What the request says of its chunk, and the bytes of the chunk."""
        query = parse_query(exchange.request.query)
        form, pieces = read_body(exchange.request, self._file_fields)
        asked = self._reader.describe(chain(query, form), tenant)
        exchange.record = asked.record
        return asked, pieces


def _key(record: UploadRecord) -> str:
    # With its length in front, no tenant can be made to look like another with a longer identifier.
    whole = f"{len(record.tenant)} {record.tenant}{record.identifier}"
    return hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()[:40]


def _check_frozen(known: UploadRecord, said: UploadRecord) -> None:
    for field, what in _FROZEN.items():
        if getattr(known, field) != getattr(said, field):
            began, now = getattr(known, field), getattr(said, field)
            raise Refusal(409, f"This upload began with {what} of {began!r}, not {now!r}.")
    if known.file_sha256 and said.file_sha256 and known.file_sha256 != said.file_sha256:
        raise Refusal(409, f"This upload began with a SHA-256 of {known.file_sha256!r}, not {said.file_sha256!r}.")


def _progress(upload: StoredUpload) -> tuple[str, str]:
    """The header that says how far the upload is; whole only when whoever wants to know of the file has been told."""
    if upload.record.announced:
        return _WHOLE
    return _partial(upload.stored(), upload.record.total_chunks)


def _partial(stored: int, total: int) -> tuple[str, str]:
    return FILE_HEADER, format_file_status(FileStatus(False, stored, total))


def _stored_chunks(upload: StoredUpload, below: int) -> tuple[tuple[str, str], ...]:
    """The header that lists all stored chunks, or no header where they are in too many pieces for one."""
    ranges: list[tuple[int, int]] = []
    for start, stop in upload.ranges():
        if len(ranges) == _MOST_RANGES:
            return ()
        if start < below:
            ranges.append((start, min(stop, below)))
    return ((STORED_CHUNKS_HEADER, format_ranges(iter(ranges))),)


def _failure(request: Request, error: Exception) -> Refusal:
    """What the client is told of an error inside; the detail is in the log, under the same number."""
    number = secrets.token_hex(4)
    _log.error("request %s (%r %r) failed", number, request.method, request.path, exc_info=error)
    code = error.errno if isinstance(error, OSError) else None
    if code in _NO_ROOM:
        return Refusal(507, "There is no room left for this upload.")
    if code in _NO_HANDLES:
        return Refusal(503, "The server is out of resources; try again.", ("Retry-After", "1"))
    if code == errno.EFBIG:
        return Refusal(413, "The file is larger than this server can store.")
    return Refusal(500, f"The server failed; its log says why, at request {number}.")


def _sentence(status: int, sentence: str, *headers: tuple[str, str]) -> Response:
    return Response(status, f"{sentence}\n".encode("utf-8", "backslashreplace"), headers)
