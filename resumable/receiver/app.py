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
409   it makes no sense together with what came before in an upload that is not finished: other sizes, another name
      or SHA-256, other bytes; or the whole file has not the SHA-256 that the client said, and its upload is discarded
411   the request does not say how long its body is
413   it asks for more than this receiver takes
429   there are too many unfinished uploads
460   the chunk has not the SHA-256 that the client said; it is not stored
500   something failed here; the log says what, under the number in the sentence
501   the directory is on a file system where nothing can be published; the log says what to do
503   the same chunk is being sent in another request that does not end, or the disk cannot be looked at
507   there is no room left
====  =================================================================================================
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from itertools import chain
from urllib.parse import quote

from ..errors import OptionError
from ..protocol.headers import SERVER_HEADER, WIRE_VERSION
from ..protocol.parameters import ParameterNames
from .access import LOCAL_HOSTS, Access
from .answers import (
    WHOLE,
    all_chunks,
    failure,
    nothing_stored,
    progress,
    sentence,
    stored_chunks,
)
from .form import parse_query, read_body
from .hashes import FileDiffers, check_chunk, check_file
from .identity import (
    check_frozen,
    is_repeat,
    key_of,
    remembered,
    session_of,
)
from .listing import MOST_LISTED, listing
from .messages import Refusal, Request, Response
from .page import page_response
from .parameters import DIALECTS, ChunkDescription, ParameterReader, UploadLimits
from .signals import ReceiverSignals
from .store.base import (
    Discarded,
    PublishedUpload,
    Store,
    StoredUpload,
    UploadRecord,
)
from .store.files import FileStore
from .sweeper import Sweeper

__all__ = ["Receiver"]

_log = logging.getLogger(__name__)

_TESTS = ("GET", "HEAD")
_UPLOADS = ("POST", "PUT", "PATCH")
_SERVER = (SERVER_HEADER, WIRE_VERSION)


@dataclass
class _Exchange:
    """One request, and the upload that it turned out to be about."""

    request: Request
    record: UploadRecord | None = None


class Receiver:
    """Takes uploads into ``store``: a directory, or anything that is a :class:`~resumable.receiver.store.base.Store`.

    ``dialect`` says whose clients may upload: ``"resumablejs"``, ``"flowjs"`` or ``"any"`` of the two. ``names``
    replaces its parameter names, for clients that rename them. ``chunk_sha256_parameter_name`` and
    ``file_sha256_parameter_name`` name the hashes that a client may send; None ignores them.

    With a ``token`` every request must carry ``Authorization: Bearer token``. ``tenant(request)`` says on whose behalf
    a request comes, before its body is read, or raises :class:`Refusal`: the same identifier from two tenants is two
    uploads. ``allowed_hosts`` are the names of this server besides addresses, None for any name; ``allowed_origins``
    the origins of other sites whose pages may upload. ``page`` says whether there is a page for people.

    ``max_total_size`` and ``min_chunk_size`` are in bytes; a file in one chunk may be smaller than that.

    ``on_file_received(record)`` is part of finishing: it is called when the file is published, and the client is told
    201 when it returned. If it raises, the client is told 500, and the next time that the last chunk is sent, it is
    called again. ``on_chunk_received(record, number)`` only observes, like the signals in ``signals``. A receiver with
    ``on_file_received``, or a listener of ``signals.file_received``, leaves its files to the application: they count
    as stored whatever becomes of them, until :meth:`forget`, unless the store says otherwise.

    Any number of threads, and of processes on one directory, may handle requests.
    """

    def __init__(
        self,
        store: Store | str | os.PathLike[str],
        *,
        dialect: str = "resumablejs",
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
        if dialect not in DIALECTS:
            raise OptionError("dialect", dialect, "one of " + ", ".join(map(repr, DIALECTS)))
        accepted = DIALECTS[dialect] if names is None else (names,)
        self.names = accepted[0]
        self.signals = ReceiverSignals(self)
        self.limits = UploadLimits(max_total_size, max_chunks, min_chunk_size)
        self._access = Access(token=token, hosts=allowed_hosts, origins=allowed_origins)
        self._reader = ParameterReader(
            accepted,
            self.limits,
            chunk_sha256=chunk_sha256_parameter_name,
            file_sha256=file_sha256_parameter_name,
        )
        self._tenant = tenant
        self._page = page
        self._on_file_received = on_file_received
        # The files of which the hook is being told, and whether it has asked to forget them.
        self._emitter: dict[UploadRecord, bool] = {}
        self._lock = threading.Lock()
        if on_chunk_received is not None:
            self.signals.chunk_received.connect(
                lambda sender, record, number: on_chunk_received(record, number), weak=False
            )
        self._file_fields = frozenset(name for each in accepted for name in (each.file, each.namespace + each.file))

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

    def forget(self, record: UploadRecord) -> bool:
        """Let a published file count as stored no longer, and return whether there was something to forget.

        The next client that asks for the file is told that it is missing, and whoever sends it begins a new upload.
        Only a client that repeats itself, because an answer was lost, hears within the next hour that its file is
        there. The file itself is left alone. May be called on any thread, in ``on_file_received`` too. Raises
        :class:`Refusal` (503) if another process is being told of the file just now, and does not end.
        """
        with self._lock:
            if record in self._emitter:
                self._emitter[record] = True
                return True
        return self.store.forget(key_of(record), record)

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
            response = self._refused(exchange, failure(request, error))
        return self._shared(request, response)

    def refuse(self, request: Request, refusal: Refusal) -> Response:
        """The answer to a request that is refused before it can be handled: its length makes no sense, say."""
        return self._shared(request, self._refused(_Exchange(request), refusal))

    def _shared(self, request: Request, response: Response) -> Response:
        return replace(response, headers=(*response.headers, _SERVER, *self._access.shared(request)))

    def _refused(self, exchange: _Exchange, refusal: Refusal) -> Response:
        request, status, text = exchange.request, refusal.status, refusal.sentence
        _log.info("%r %r refused with %d: %r", request.method, request.path, status, text)
        if request.method in _UPLOADS:
            signal = self.signals.upload_refused
            self.signals.emit(signal, status=status, sentence=text, record=exchange.record)
        return sentence(status, text, *refusal.headers)

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
        record, key, session = asked.record, key_of(asked.record), session_of(exchange.request)
        whole = sentence(200, "The file is stored.", WHOLE, *all_chunks(record.total_chunks))
        while (upload := self.store.open(key)) is not None:
            with upload, suppress(Discarded):
                over, past = remembered(upload, record, session, collected=self._owns_files)
                if past is not None:
                    return whole
                with self._repeated(upload, record, session) as earlier:
                    if earlier is not None:
                        return whole
                return nothing_stored(record.total_chunks) if over else self._tested(upload, asked)
        with self._repeated(None, record, session) as earlier:
            return nothing_stored(record.total_chunks) if earlier is None else whole

    def _tested(self, upload: StoredUpload, asked: ChunkDescription) -> Response:
        """The answer to a test of a chunk of an upload that is not over."""
        check_frozen(upload.record, asked.record)
        # Where the end of the upload failed or died in the middle, the client has to send the last chunk again.
        waiting = upload.complete()
        count = asked.record.total_chunks
        headers = (progress(upload), *stored_chunks(upload, count - 1 if waiting else count))
        if not upload.has(asked.index) or (waiting and asked.index == count - 1):
            return Response(204, headers=headers)
        return sentence(200, f"Chunk {asked.index + 1} of {count} is stored.", *headers)

    def _upload(self, exchange: _Exchange, tenant: str) -> Response:
        if exchange.request.content_length is None:
            raise Refusal(411, "The request does not say how long its body is.")
        asked, pieces = self._read(exchange, tenant)
        record, key, session = asked.record, key_of(asked.record), session_of(exchange.request)
        if pieces is None:
            raise Refusal(400, "There is no chunk in the request.")
        if asked.chunk_sha256 is not None:
            pieces = check_chunk(pieces, asked.chunk_sha256)
        whole = sentence(200, "The file is stored.", WHOLE)
        while True:
            upload = self.store.open(key)
            # Looked for now: what was open a moment ago may be what took its place.
            with self._repeated(upload, record, session) as earlier, upload or nullcontext():
                if earlier is not None:
                    others = earlier.repeats(record, asked.index, pieces)
                    if others is None:
                        return whole
                    pieces = others
                if upload is None:
                    self.store.create(key, replace(record, sessions=(session,)) if session else record)
                    continue
                try:
                    over, past = remembered(upload, record, session, collected=self._owns_files)
                except Discarded:
                    continue
                if past is not None:
                    others = past.repeats(record, asked.index, pieces)
                    if others is None:
                        return whole
                    pieces = others
                if not over:
                    return self._receive(upload, asked, pieces, session)
                upload.give_way()

    @contextmanager
    def _repeated(
        self, upload: StoredUpload | None, record: UploadRecord, session: str
    ) -> Iterator[PublishedUpload | None]:
        """The upload before this one, in the block, if a request of this session may repeat one of its requests."""
        if not session or (upload is not None and session in upload.record.sessions):
            yield None
            return
        with self.store.earlier(key_of(record)) as earlier:
            yield earlier if earlier is not None and is_repeat(earlier, record, session) else None

    def _receive(
        self, upload: StoredUpload, asked: ChunkDescription, pieces: Iterator[bytes], session: str
    ) -> Response:
        """Take a chunk of an upload that is not over, and finish the upload if it was the last one missing."""
        check_frozen(upload.record, asked.record)
        if asked.record.file_sha256 is not None:
            upload.set_file_sha256(asked.record.file_sha256)
        if upload.receive(asked.index, pieces):
            self.signals.emit(self.signals.chunk_received, record=upload.record, number=asked.index + 1)
        # Any chunk sent again asks for an end that failed, or died, in the middle: which one was refused then, and
        # comes again, only its client knows.
        stored = f"Chunk {asked.index + 1} of {asked.record.total_chunks} is stored."
        if not upload.complete():
            return sentence(200, stored, progress(upload))
        if not self._finished(upload, session):
            return sentence(200, stored, WHOLE)
        return sentence(201, "The file is stored.", WHOLE)

    def _finished(self, upload: StoredUpload, session: str) -> bool:
        """The file is published and announced; whether this request is the one that has done it."""
        try:
            upload.publish(check_file)
        except FileDiffers:
            # Which of the chunks is wrong cannot be known.
            upload.discard()
            raise
        told: list[UploadRecord] = []
        forgotten = False

        def tell(record: UploadRecord) -> None:
            nonlocal forgotten
            if self._on_file_received is not None:
                with self._lock:
                    self._emitter[record] = False
                try:
                    self._on_file_received(record)
                finally:
                    with self._lock:
                        forgotten = self._emitter.pop(record)
            told.append(record)

        if not upload.notify_once(tell, collected=self._owns_files, session=session):
            return False
        if forgotten:
            self.store.forget(key_of(told[0]), told[0])
        _log.info("received %r", told[0].published)
        self.signals.emit(self.signals.file_received, record=told[0])
        return True

    @property
    def _owns_files(self) -> bool:
        """Whether the application takes published files over: whether anybody is told of them."""
        return self._on_file_received is not None or bool(self.signals.file_received.receivers)

    def _read(self, exchange: _Exchange, tenant: str) -> tuple[ChunkDescription, Iterator[bytes] | None]:
        """What the request says of its chunk, and the bytes of the chunk."""
        query = parse_query(exchange.request.query)
        form, pieces = read_body(exchange.request, self._file_fields)
        asked = self._reader.describe(chain(query, form), tenant)
        exchange.record = asked.record
        return asked, pieces
