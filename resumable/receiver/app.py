"""The receiver itself: one request in, one answer out, independent of the server and the framework around it.

A GET or HEAD is a test, a POST, PUT or PATCH an upload, and a DELETE removes an upload. The answers are those that
resumable.js expects:

====  =================================================================================================
200   the chunk is stored; if it was the last one, so is the whole file
201   this chunk was the last one missing: the file is published
204   to a test: the chunk is not stored; to DELETE: the upload was removed
308   the page is at the path with a slash
400   the request makes no sense: a parameter is missing, the numbers disagree, the body is too short
401   the token is missing or wrong
403   the host is not one of ours, or a page of another site sent the request
404   there is nothing at this path; to DELETE: there is no such unfinished upload
405   the path does not allow this method, or the page of another site that wants to send it may not
408   the body did not arrive in time
409   the request contradicts an upload that is not finished: it has another size, name or SHA-256, is cut into other
      chunks, or has other bytes; or the whole file does not have the SHA-256 that the client sent, and the upload was
      discarded; or its name is taken; to DELETE: another request is in the upload
411   the request has no Content-Length
413   the request, the file or the number of its chunks exceeds a limit; ``Resumable-Limit`` says which
429   there are too many unfinished uploads
460   the chunk does not have the hash that the client sent; it is not stored
500   something failed here; the log says what, under the number in the sentence
501   the directory is on a file system that cannot publish files, or the locale has no such letters; the log says what
      to do. To a question about many files: the store can only be asked about one at a time
503   another request is still sending the same chunk, or the disk cannot be reached, or not written to
507   the disk or the quota of unfinished uploads is full
====  =================================================================================================
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from ..errors import OptionError
from ..protocol.headers import MAX_UPLOADS_HEADER, ORDER_ANY, ORDER_HEADER, SERVER_HEADER, WIRE_VERSION
from ..protocol.parameters import ParameterNames
from ..protocol.question import is_question
from .access import LOCAL_HOSTS, Access
from .answers import failure, sentence
from .dialects import DIALECTS
from .finishing import Finisher
from .form import parse_query
from .identity import key_for, key_of
from .intake import Intake, Naming, UploadRequest
from .limits import UploadLimits
from .listing import MOST_LISTED, listing
from .messages import Refusal, Request, Response
from .parameters import ParameterReader
from .questions import answer_question
from .routes import DISCARD, HEALTH, LISTING, METRICS, TESTS, UPLOADS, Routes
from .signals import ReceiverSignals
from .store.base import Store
from .store.files import FileStore
from .store.record import UploadRecord, UploadStatus
from .sweeper import Sweeper

if TYPE_CHECKING:
    from .metrics import ReceiverMetrics

__all__ = ["Receiver"]

_log = logging.getLogger(__name__)


class Receiver:
    """Takes uploads into ``store``: a directory, or any :class:`~resumable.receiver.store.base.Store`.

    ``dialect`` says whose clients may upload: ``"resumablejs"``, ``"flowjs"`` or ``"any"`` of the two. ``names``
    replaces its parameter names, for clients that rename them. ``chunk_sha256_parameter_name`` and
    ``file_sha256_parameter_name`` name the hashes that a client may send; None ignores them.

    With a ``token`` every request must carry ``Authorization: Bearer token``. ``tenant(request)`` returns the tenant
    that a request belongs to, before its body is read, or raises :class:`Refusal`: the same identifier from two tenants
    is two uploads. With ``tenant_folders=True`` each tenant's files are published in a folder of its own, so that no
    tenant sees the names of another. ``publish_as(record, request)`` returns the relative path to publish a new upload
    under, in that folder if there is one; it is made safe like a path that a client sends.
    ``on_upload_started(record, request)`` is called before the first chunk of an upload is read. Both may raise
    :class:`Refusal`. With ``allow_delete=True``, which needs a ``token`` or a ``tenant``, a client may remove its
    unfinished uploads with DELETE. ``allowed_hosts`` are the names of this server besides addresses, None for any name;
    ``allowed_origins`` are the origins of other sites whose pages may upload. ``page`` says whether to show a page for
    people, and ``page_title`` what it is called.

    ``max_total_size`` and ``min_chunk_size`` are in bytes; a file of a single chunk may be smaller than a chunk.
    ``max_uploads`` is the number of simultaneous requests that clients of this package are asked not to exceed; it
    does not bind a user who chose a number.

    ``on_file_received(record, request)`` is called when a file is published, and is part of finishing it: the client
    gets 201 after it has returned, together with the mapping that it returned, if any. If it raises, the client gets
    500, and it is called again the next time the client sends the last chunk. A client of this package that has waited
    for ``hook_deadline`` seconds gets 503 and asks again, while the function goes on; other clients wait until it has
    returned. A function with one parameter gets the record only. ``on_chunk_received(record, number)`` only observes,
    like the handlers of ``signals``. With an ``on_file_received``, or a handler of ``signals.file_received``, the
    application owns the published files: they count as stored, whatever becomes of them, until :meth:`forget`, unless
    the store says otherwise.

    ``metrics`` counts what happens, for Prometheus, and is shown at ``/metrics``, unless it is private.

    Requests may be handled in any number of threads, and in any number of processes that share a directory.
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
        tenant: Callable[[Request], str | Awaitable[str]] | None = None,
        tenant_folders: bool = False,
        publish_as: Callable[[UploadRecord, Request], str | Awaitable[str]] | None = None,
        on_upload_started: Callable[[UploadRecord, Request], object] | None = None,
        allowed_hosts: Iterable[str] | None = LOCAL_HOSTS,
        allowed_origins: Iterable[str] = (),
        allow_delete: bool = False,
        page: bool = True,
        page_title: str = "Uploads",
        max_total_size: int = 2**53 - 1,
        max_chunks: int = 1_000_000,
        min_chunk_size: int = 1,
        max_uploads: int = 16,
        on_chunk_received: Callable[[UploadRecord, int], object] | None = None,
        on_file_received: Callable[[UploadRecord, Request], object] | Callable[[UploadRecord], object] | None = None,
        hook_deadline: float | None = 20.0,
        metrics: ReceiverMetrics | None = None,
    ) -> None:
        if dialect not in DIALECTS:
            raise OptionError("dialect", dialect, "one of " + ", ".join(map(repr, DIALECTS)))
        if allow_delete and token is None and tenant is None:
            raise OptionError("allow_delete", allow_delete, "False unless there is a token or a tenant")
        if metrics is not None and tenant is not None and token is None and not metrics.private:
            raise OptionError(
                "metrics", metrics, "private, or None, unless there is a token: they are about all tenants"
            )
        accepted = DIALECTS[dialect] if names is None else (names,)
        self.store: Store = FileStore(store) if isinstance(store, (str, os.PathLike)) else store
        self.names = accepted[0]
        self.signals = ReceiverSignals(self)
        self.limits = UploadLimits(max_total_size, max_chunks, min_chunk_size, max_uploads)
        self.metrics = metrics
        self._own_headers = (
            (SERVER_HEADER, WIRE_VERSION),
            (ORDER_HEADER, ORDER_ANY),
            (MAX_UPLOADS_HEADER, str(max_uploads)),
        )
        self._access = Access(token=token, hosts=allowed_hosts, origins=allowed_origins)
        self._tenant = tenant
        self._routes = Routes(
            page_title=page_title if page else None,
            deletes=allow_delete,
            metrics=metrics is not None and not metrics.private,
        )
        self._reader = ParameterReader(
            accepted,
            self.limits,
            chunk_sha256=chunk_sha256_parameter_name,
            file_sha256=file_sha256_parameter_name,
        )
        timed = None if metrics is None else metrics.timed
        self._finisher = Finisher(self.store, self.signals, on_file_received, hook_deadline, timed)
        naming = Naming(publish_as, tenant_folders)
        self._intake = Intake(self.store, self.signals, self._finisher, self._reader, naming, on_upload_started)
        if metrics is not None:
            metrics.follow(self.store, self.signals)
        if on_chunk_received is not None:
            self.signals.chunk_received.connect(
                lambda sender, record, number: on_chunk_received(record, number), weak=False
            )

    @property
    def has_token(self) -> bool:
        """Whether every request must carry a token."""
        return self._access.has_token

    def allow_host(self, host: str) -> None:
        """Answer requests for this host name from now on. A server calls this with the name that it is bound to."""
        self._access.allow_host(host)

    def sweep(self) -> int:
        """Remove stale uploads, send ``upload_expired`` for each, and return how many they were. Thread-safe."""
        return self.store.sweep(lambda record: self.signals.emit(self.signals.upload_expired, record=record))

    def forget(self, record: UploadRecord) -> bool:
        """Stop counting a published file as stored, and return whether it counted.

        The next client that asks for the file is told that it is missing, and one that sends it begins a new upload.
        Only a client that repeats a request because the answer was lost is told for another hour that its file is
        stored. The file itself is not touched. May be called on any thread, and in ``on_file_received``. Raises
        :class:`Refusal` (503) if another process is still finishing the file.
        """
        return self._finisher.forget(record) or self.store.forget(key_of(record), record)

    def uploads(self, tenant: str | None = None, limit: int | None = None) -> Iterator[UploadStatus]:
        """Return the uploads of a tenant, or of all, unfinished or finished, the most recently changed first."""
        return self.store.uploads(tenant, limit)

    def discard(self, record: UploadRecord) -> bool:
        """Remove an unfinished upload with all that is stored of it, and return whether there was one.

        A finished one stays: see :meth:`forget`. Sends ``upload_discarded``. Raises :class:`Refusal` (409)
        while a request for the upload is running.
        """
        return self._discard(key_of(record))

    def _discard(self, key: str) -> bool:
        record = self.store.discard(key)
        if record is None:
            return False
        self.signals.emit(self.signals.upload_discarded, record=record)
        return True

    def wait_for_hooks(self, seconds: float) -> None:
        """Wait up to ``seconds`` for hooks that still run after their clients got 503. A server calls this at its end.

        A hook that has not returned when the process ends is called again when its client asks again.
        """
        self._finisher.wait(seconds)

    def sweep_every(self, seconds: float = 3600.0) -> Sweeper:
        """Start a thread that sweeps, at once and then every ``seconds``, until its ``stop()`` is called.

        This is for applications that run the receiver in a server of their own; a :class:`Server` sweeps by itself.
        Threads do not survive a fork, so call this in the process that goes on; several may do so at once. Raises
        :class:`~resumable.errors.OptionError` if ``seconds`` is not more than 0.
        """
        return Sweeper(self.sweep, seconds).start()

    def handle(self, request: Request) -> Response:
        """Answer the request. Errors are logged and answered with 500; nothing is raised but what ends the main thread.

        The body may not have been read to its end.
        """
        upload_request = UploadRequest(request)
        try:
            response = self._answer(upload_request)
        except Refusal as refusal:
            response = self._refused(upload_request, refusal)
        except BaseException as error:
            # Ctrl-C and the end of a worker come to the main thread. On others a hook that exits would end the request
            # without an answer, and in ASGI the whole server.
            if not isinstance(error, Exception) and threading.current_thread() is threading.main_thread():
                raise
            response = self._refused(upload_request, failure(request, error))
        return self._with_headers(request, response)

    def refuse(self, request: Request, refusal: Refusal) -> Response:
        """Answer a request that has to be refused before it can be handled, for example because it is too long."""
        return self._with_headers(request, self._refused(UploadRequest(request), refusal))

    def _with_headers(self, request: Request, response: Response) -> Response:
        """Count the answer, and return it with the headers that all answers have."""
        if self.metrics is not None:
            self.metrics.answered(request.method, response.status)
        headers = (*response.headers, *self._own_headers, *self._access.headers(request))
        return Response(response.status, response.body, headers)

    def _refused(self, upload_request: UploadRequest, refusal: Refusal) -> Response:
        request, status, text = upload_request.request, refusal.status, refusal.sentence
        _log.info("%r %r refused with %d: %r", request.method, request.path, status, text)
        method = request.method
        if method == "OPTIONS":
            # A browser asks first, and does not send the upload of a page that may not upload here.
            method = request.headers.get("access-control-request-method", method)
        if method in UPLOADS:
            record = upload_request.record
            if record is not None:
                record = replace(record, metadata=dict(record.metadata))
            self.signals.emit(self.signals.upload_refused, status=status, sentence=text, record=record)
        return sentence(status, text, *refusal.headers)

    def _answer(self, upload_request: UploadRequest) -> Response:
        request = upload_request.request
        if request.path == HEALTH and request.method in TESTS:
            # Load balancers ask for it by any name.
            return sentence(200, "The receiver is running.")
        self._access.check_host(request)
        methods = self._routes.methods(request)
        if request.method not in methods:
            return self._access.answer_other_method(request, methods)
        if (page := self._routes.page_part(request)) is not None:
            return page
        self._access.check_token(request)
        if request.method not in TESTS:
            self._access.check_origin(request)
        if request.path == METRICS and self.metrics is not None:
            return self.metrics.response()
        tenant = request.call(self._tenant, request) if self._tenant is not None else ""
        if not isinstance(tenant, str):
            raise TypeError(f"tenant() must return a str, not {type(tenant).__name__}")
        if request.path == LISTING:
            return listing(self.store.uploads(tenant, MOST_LISTED), self.names, self.limits.max_total_size)
        if request.method in TESTS:
            return self._intake.test(upload_request, tenant)
        if request.method == DISCARD:
            identifier = self._reader.identifier(parse_query(request.query))
            if not self._discard(key_for(tenant, identifier)):
                raise Refusal(404, "There is no unfinished upload with this identifier.")
            return Response(204)
        if request.method == "POST" and is_question(request.query):
            return answer_question(request, tenant, self.store, self._reader, collected=self._finisher.owns_files)
        return self._intake.upload(upload_request, tenant)
