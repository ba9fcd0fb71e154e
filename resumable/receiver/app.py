"""The receiver itself: one request in, one answer out, whatever server and framework are around it.

A GET or HEAD is a test, a POST, PUT or PATCH an upload. The answers are those that resumable.js expects:

====  =================================================================================================
200   the chunk is stored; after the last one, so is the whole file
201   this chunk was the last one missing: the file is published
204   to a test: the chunk is not here
400   the request makes no sense: a parameter is missing, the numbers disagree, the body is too short
401   the token is missing or wrong
405   the method is none of the five
409   it makes no sense together with what came before: other sizes, another name, other bytes
411   the request does not say how long its body is
413   it asks for more than this receiver takes
503   the same chunk is being sent in another request that does not end
507   the disk is full
====  =================================================================================================
"""

from __future__ import annotations

import errno
import hashlib
import hmac
import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import Any

from ..errors import OptionError
from ..protocol.parameters import ParameterNames, well_formed
from ..protocol.plan import ChunkPlan
from ..protocol.verdict import STORED_CHUNKS_HEADER, format_ranges
from .files import FileStore
from .form import parse_query, read_body
from .messages import Refusal, Request, Response
from .names import safe_name
from .store import Store, StoredUpload, UploadRecord

__all__ = ["Receiver", "parameter_names"]

_log = logging.getLogger(__name__)

_TESTS = ("GET", "HEAD")
_UPLOADS = ("POST", "PUT", "PATCH")
_NUMBER = re.compile("[0-9]{1,19}")
_NEWLINE = re.compile("\r\n|\r")
_LONGEST_IDENTIFIER = 1024
_LONGEST_NAME = 4096
_MOST_RANGES = 256
_FROZEN = {
    "total_size": "a total size",
    "chunk_size": "a chunk size",
    "total_chunks": "a number of chunks",
    "file_name": "a file name",
    "relative_path": "a relative path",
}
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_NO_HANDLES = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)


def parameter_names(dialect: Mapping[str, Any]) -> ParameterNames:
    """The names of the parameters in a preset of :mod:`resumable.protocol.dialects`, such as ``FLOWJS``."""
    ending = "_parameter_name"
    return ParameterNames(**{option[: -len(ending)]: dialect[option] for option in dialect if option.endswith(ending)})


class Receiver:
    """Takes uploads into ``store``: a directory, or anything that is a :class:`~resumable.receiver.store.Store`.

    ``names`` are the names of the parameters, for clients that rename them. With a ``token`` every request must carry
    ``Authorization: Bearer token``. ``tenant`` says on whose behalf a request comes: the same identifier from two
    tenants is two uploads. ``max_total_size`` is in bytes. ``on_chunk_received(record, number)`` and
    ``on_file_received(record)`` are called on the thread of the request, after the chunk is stored or the file is
    published; what they raise is logged. Any number of threads, and of processes on one directory, may handle requests.
    """

    def __init__(
        self,
        store: Store | str | os.PathLike[str],
        *,
        names: ParameterNames | None = None,
        token: str | None = None,
        tenant: Callable[[Request], str] | None = None,
        max_total_size: int = 2**53 - 1,
        max_chunks: int = 1_000_000,
        on_chunk_received: Callable[[UploadRecord, int], object] | None = None,
        on_file_received: Callable[[UploadRecord], object] | None = None,
    ) -> None:
        if token is not None and not token:
            raise OptionError("token", token, "text that is not empty, or None")
        self.store: Store = FileStore(store) if isinstance(store, (str, os.PathLike)) else store
        self.names = names or ParameterNames()
        self.has_token = token is not None
        self.max_total_size = max_total_size
        self.max_chunks = max_chunks
        self._authorization = f"bearer {token}".encode() if token is not None else None
        self._tenant = tenant
        self._on_chunk_received = on_chunk_received
        self._on_file_received = on_file_received
        self._file_fields = frozenset({self.names.file, self.names.namespace + self.names.file})

    def handle(self, request: Request) -> Response:
        """The answer to the request. Raises nothing; what goes wrong inside is logged and answered with 500.

        The body may not have been read to its end.
        """
        try:
            return self._answer(request)
        except Refusal as refusal:
            return _sentence(refusal.status, refusal.sentence, *refusal.headers)
        except Exception as error:
            code = error.errno if isinstance(error, OSError) else None
            _log.exception("%s request failed", request.method)
            if code in _NO_ROOM:
                return _sentence(507, "There is no room left for this upload.")
            if code in _NO_HANDLES:
                return _sentence(503, "The server is out of resources; try again.", ("Retry-After", "1"))
            if code == errno.EFBIG:
                return _sentence(413, "The file is larger than this server can store.")
            return _sentence(500, "The server failed; its log says why.")

    def _answer(self, request: Request) -> Response:
        self._authorize(request)
        if request.path not in ("", "/"):
            raise Refusal(404, "There is nothing at this path.")
        if request.method in _TESTS:
            return self._test(request)
        if request.method in _UPLOADS:
            return self._upload(request)
        raise Refusal(405, "This is for GET, HEAD, POST, PUT and PATCH.", ("Allow", ", ".join(_TESTS + _UPLOADS)))

    def _authorize(self, request: Request) -> None:
        if self._authorization is None:
            return
        scheme, space, token = request.headers.get("authorization", "").partition(" ")
        given = f"{scheme.lower()}{space}{token.strip()}".encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(given, self._authorization):
            raise Refusal(401, "The token is missing or wrong.", ("WWW-Authenticate", "Bearer"))

    def _test(self, request: Request) -> Response:
        record, index, _ = self._read(request)
        upload = self.store.open(self._key(request, record))
        if upload is None:
            return Response(204, headers=((STORED_CHUNKS_HEADER, ""),))
        with upload:
            _check_frozen(upload.record, record)
            # Where a process died between the last chunk and the publishing, the client has to send that one again.
            last = record.total_chunks - 1
            waiting = upload.record.published is None and upload.complete()
            headers = _stored_chunks(upload, last if waiting else record.total_chunks)
            if not upload.has(index) or (waiting and index == last):
                return Response(204, headers=headers)
            return _sentence(200, f"Chunk {index + 1} of {record.total_chunks} is stored.", *headers)

    def _upload(self, request: Request) -> Response:
        if request.content_length is None:
            raise Refusal(411, "The request does not say how long its body is.")
        record, index, pieces = self._read(request)
        key = self._key(request, record)
        while (upload := self.store.open(key)) is None:
            self.store.create(key, record)
        with upload:
            _check_frozen(upload.record, record)
            if upload.record.published is not None:
                return _sentence(200, "The file is stored.")
            if pieces is None:
                raise Refusal(400, "There is no chunk in the request.")
            if upload.receive(index, pieces):
                _notify(self._on_chunk_received, upload.record, index + 1)
            published = upload.publish() if upload.complete() else None
        if published is None:
            return _sentence(200, f"Chunk {index + 1} of {record.total_chunks} is stored.")
        _notify(self._on_file_received, published)
        return _sentence(201, "The file is stored.")

    def _read(self, request: Request) -> tuple[UploadRecord, int, Iterator[bytes] | None]:
        """What the request says of the upload, the index of its chunk, and the bytes of the chunk."""
        query = parse_query(request.query)
        form, pieces = read_body(request, self._file_fields)
        parameters = self._parameters(chain(query, form))
        plan, index = self._plan(parameters)
        identifier = self._text(parameters, "identifier", _LONGEST_IDENTIFIER)
        file_name = self._text(parameters, "file_name", _LONGEST_NAME)
        relative_path = self._text(parameters, "relative_path", _LONGEST_NAME)
        if not identifier:
            raise self._missing("identifier")
        record = UploadRecord(
            identifier=identifier,
            file_name=file_name,
            relative_path=relative_path,
            type=parameters.get("type", "")[:255],
            total_size=plan.size,
            chunk_size=plan.chunk_size,
            total_chunks=plan.count,
            name=safe_name(relative_path or file_name or hashlib.sha256(identifier.encode()).hexdigest()),
            tenant=self._tenant(request) if self._tenant is not None else "",
        )
        return record, index, pieces

    def _plan(self, parameters: Mapping[str, str]) -> tuple[ChunkPlan, int]:
        """The cut that the numbers say, and the index of the chunk. Both cuts are taken, and told by their count."""
        number = self._number(parameters, "chunk_number")
        size = self._number(parameters, "total_size")
        chunk_size = self._number(parameters, "chunk_size")
        count = self._number(parameters, "total_chunks")
        if size > self.max_total_size:
            raise Refusal(413, f"The file is larger than the {self.max_total_size} bytes that are allowed.")
        if count > self.max_chunks:
            raise Refusal(413, f"The file has more than the {self.max_chunks} chunks that are allowed.")
        if chunk_size < 1:
            raise Refusal(400, "The chunk size is 0.")
        plan = ChunkPlan(size, chunk_size)
        if plan.count != count:
            plan = ChunkPlan(size, chunk_size, force=True)
        if plan.count != count:
            raise Refusal(400, f"{size} bytes in chunks of {chunk_size} are not {count} chunks.")
        if not 1 <= number <= count:
            raise Refusal(400, f"There is no chunk {number} in {count}.")
        start, end = plan.span(number - 1)
        if "current_chunk_size" in parameters and self._number(parameters, "current_chunk_size") != end - start:
            raise Refusal(400, f"Chunk {number} has {end - start} bytes, not {parameters['current_chunk_size']}.")
        return plan, number - 1

    def _parameters(self, pairs: Iterator[tuple[str, str]]) -> dict[str, str]:
        """The parameters by their own names. resumable.js says all of them twice, in the query and in the form."""
        own = {self.names.namespace + name: field for field, name in self.names._asdict().items() if name}
        parameters: dict[str, str] = {}
        for name, value in pairs:
            field = own.get(name)
            if field is None:
                continue
            # A browser turns the line breaks of a form, but not those of a query, into CR LF.
            value = well_formed(_NEWLINE.sub("\n", value))
            if parameters.setdefault(field, value) != value:
                raise Refusal(400, f"The parameter {name} is there twice, with two values.")
        return parameters

    def _number(self, parameters: Mapping[str, str], field: str) -> int:
        value = parameters.get(field)
        if value is None:
            raise self._missing(field)
        if not _NUMBER.fullmatch(value):
            raise Refusal(400, f"The parameter {self._name(field)} is not a whole number.")
        return int(value)

    def _text(self, parameters: Mapping[str, str], field: str, most: int) -> str:
        value = parameters.get(field, "")
        if len(value.encode()) > most:
            raise Refusal(400, f"The parameter {self._name(field)} is longer than {most} bytes.")
        return value

    def _missing(self, field: str) -> Refusal:
        return Refusal(400, f"The parameter {self._name(field)} is missing; a form has to name it before the chunk.")

    def _name(self, field: str) -> str:
        return f"{self.names.namespace}{getattr(self.names, field)}"

    @staticmethod
    def _key(request: Request, record: UploadRecord) -> str:
        return hashlib.sha256(f"{record.tenant}\0{record.identifier}".encode()).hexdigest()[:40]


def _check_frozen(known: UploadRecord, said: UploadRecord) -> None:
    for field, what in _FROZEN.items():
        if getattr(known, field) != getattr(said, field):
            began, now = getattr(known, field), getattr(said, field)
            raise Refusal(409, f"This upload began with {what} of {began!r}, not {now!r}.")


def _stored_chunks(upload: StoredUpload, below: int) -> tuple[tuple[str, str], ...]:
    """The header that lists all stored chunks, or no header where they are in too many pieces for one."""
    ranges: list[tuple[int, int]] = []
    for start, stop in upload.ranges():
        if len(ranges) == _MOST_RANGES:
            return ()
        if start < below:
            ranges.append((start, min(stop, below)))
    return ((STORED_CHUNKS_HEADER, format_ranges(iter(ranges))),)


def _notify(callback: Callable[..., object] | None, *arguments: object) -> None:
    if callback is None:
        return
    try:
        callback(*arguments)
    except Exception:
        _log.exception("a callback of the receiver failed")


def _sentence(status: int, sentence: str, *headers: tuple[str, str]) -> Response:
    return Response(status, f"{sentence}\n".encode(), headers)
