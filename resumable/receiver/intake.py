"""Take what clients test and send: find the upload that a request belongs to, and store its chunk."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from itertools import chain
from typing import NamedTuple

from .answers import all_chunks, nothing_stored, progress, sentence, stored_chunks, whole
from .finishing import Finisher
from .form import UploadBody, parse_query, read_body
from .hashes import check_chunk
from .identity import check_frozen, is_repeat, key_of, remembered, session_of
from .messages import Refusal, Request, Response
from .parameters import ChunkDescription, ParameterReader
from .signals import ReceiverSignals
from .store.base import PublishedUpload, Store, StoredUpload
from .store.names import safe_name, tenant_folder
from .store.record import UploadRecord
from .store.refusals import Discarded

__all__ = ["Intake", "Naming", "UploadRequest"]


@dataclass
class UploadRequest:
    """One request, and the upload that it belongs to, once that is known."""

    request: Request
    record: UploadRecord | None = None


class Naming(NamedTuple):
    """How new uploads are named: by ``publish_as``, and with ``folders`` in a folder for each tenant."""

    publish_as: Callable[[UploadRecord, Request], str | Awaitable[str]] | None
    folders: bool

    def name_for(self, record: UploadRecord, request: Request) -> str:
        """Return the relative path under which a new upload will be published. Raises what ``publish_as`` raises."""
        name = record.name
        if self.publish_as is not None:
            chosen = request.call(self.publish_as, record, request)
            if not isinstance(chosen, str):
                raise TypeError(f"publish_as() must return a str, not {type(chosen).__name__}")
            name = safe_name(chosen)
        return safe_name(f"{tenant_folder(record.tenant)}/{name}") if self.folders else name


class _Chunk(NamedTuple):
    """The chunk that a request is about."""

    request: Request
    asked: ChunkDescription
    session: str

    @property
    def record(self) -> UploadRecord:
        """What the request says of the upload."""
        return self.asked.record

    @property
    def key(self) -> str:
        """The key of the upload in its store."""
        return key_of(self.asked.record)

    @property
    def name(self) -> str:
        """What people call it."""
        return f"Chunk {self.asked.index + 1} of {self.record.total_chunks}"


class Intake:
    """Answers the tests and uploads of one receiver. For the hook see :class:`~resumable.receiver.Receiver`."""

    def __init__(
        self,
        store: Store,
        signals: ReceiverSignals,
        finisher: Finisher,
        reader: ParameterReader,
        naming: Naming,
        on_upload_started: Callable[[UploadRecord, Request], object] | None,
    ) -> None:
        self._store = store
        # Not if a store is made of one that takes them: what it does itself may keep pieces.
        self._views = vars(type(store)).get("takes_views") is True
        self._signals = signals
        self._finisher = finisher
        self._reader = reader
        self._naming = naming
        self._on_upload_started = on_upload_started

    def test(self, upload_request: UploadRequest, tenant: str) -> Response:
        """Answer whether a chunk is stored. Raises :class:`Refusal`."""
        chunk, _ = self._read(upload_request, tenant)
        count = chunk.record.total_chunks

        def stored(past: PublishedUpload) -> Response:
            return _stored_whole(past, chunk, *all_chunks(count))

        while (upload := self._store.open(chunk.key)) is not None:
            with upload, suppress(Discarded):
                over, past = remembered(upload, chunk.record, chunk.session, collected=self._finisher.owns_files)
                if over and past is not None:
                    return stored(past)
                with self._repeated(upload, chunk) as earlier:
                    if earlier is not None:
                        return stored(earlier)
                return nothing_stored(count) if over else _tested(upload, chunk)
        with self._repeated(None, chunk) as earlier:
            return nothing_stored(count) if earlier is None else stored(earlier)

    def upload(self, upload_request: UploadRequest, tenant: str) -> Response:
        """Store a chunk, and begin and finish its upload if need be. Raises :class:`Refusal`, and what hooks raise."""
        if upload_request.request.content_length is None:
            raise Refusal(411, "The request has no Content-Length: send one.")
        chunk, body = self._read(upload_request, tenant)
        asked, record = chunk.asked, chunk.record
        if body.pieces is None:
            raise Refusal(
                400,
                "The request has no file: send the chunk as the body, or in the form field "
                f"{self._reader.file_field!r}.",
            )
        pieces = body.pieces(record.plan.length(asked.index, asked.index + 1))
        if asked.checksum is not None:
            pieces = check_chunk(pieces, asked, asked.checksum, body.behind)
        while True:
            upload = self._store.open(chunk.key)
            # Looked up again each time: what was open a moment ago may have taken its place.
            with self._repeated(upload, chunk) as earlier, upload or nullcontext():
                if earlier is not None:
                    others = earlier.repeats(record, asked.index, pieces)
                    if others is None:
                        return _stored_whole(earlier, chunk)
                    pieces = others
                if upload is None:
                    self._begin(chunk)
                    continue
                try:
                    over, past = remembered(upload, record, chunk.session, collected=self._finisher.owns_files)
                except Discarded:
                    continue
                if past is not None:
                    others = past.repeats(record, asked.index, pieces)
                    if others is None:
                        return _stored_whole(past, chunk) if over else self._finish(upload, chunk)
                    pieces = others
                if not over:
                    return self._receive(upload, chunk, pieces)
                upload.give_way()

    def _read(self, upload_request: UploadRequest, tenant: str) -> tuple[_Chunk, UploadBody]:
        """Return what the request says about its chunk, and its body."""
        request = upload_request.request
        query = parse_query(request.query)
        body = read_body(request, self._reader.file_fields, views=self._views)
        asked = self._reader.describe(chain(query, body.fields), tenant)
        upload_request.record = asked.record
        return _Chunk(request, asked, session_of(request)), body

    def _begin(self, chunk: _Chunk) -> None:
        """Create an upload, unless the application refuses it."""
        request = chunk.request.without_body()
        sessions = (chunk.session,) if chunk.session else ()
        record = replace(chunk.record, metadata=dict(chunk.record.metadata), sessions=sessions)
        name = self._naming.name_for(record, request)
        if name != record.name:
            record = replace(record, name=name)
        if self._on_upload_started is not None:
            request.call(self._on_upload_started, record, request)
        self._store.create(chunk.key, record)

    def _repeated(self, upload: StoredUpload | None, chunk: _Chunk) -> AbstractContextManager[PublishedUpload | None]:
        """Return the upload before this one, for a block, if this request may repeat one of its requests."""
        if not chunk.session or (upload is not None and chunk.session in upload.record.sessions):
            return nullcontext()
        return self._earlier(chunk)

    @contextmanager
    def _earlier(self, chunk: _Chunk) -> Iterator[PublishedUpload | None]:
        with self._store.earlier(chunk.key) as earlier:
            yield earlier if earlier is not None and is_repeat(earlier, chunk.record, chunk.session) else None

    def _receive(self, upload: StoredUpload, chunk: _Chunk, pieces: Iterator[bytes]) -> Response:
        """Store a chunk of an upload that is not over, and finish the upload if it was the last one missing."""
        asked = chunk.asked
        check_frozen(upload.record, asked.record)
        if asked.record.file_sha256 is not None:
            upload.set_file_sha256(asked.record.file_sha256)
        if upload.receive(asked.index, pieces):
            self._signals.emit(self._signals.chunk_received, record=upload.record, number=asked.index + 1)
        # A chunk that is sent again resumes finishing, if that failed or was interrupted: only the client knows which
        # of its requests was refused then.
        if upload.complete():
            return self._finish(upload, chunk)
        return sentence(200, f"{chunk.name} is stored.", progress(upload))

    def _finish(self, upload: StoredUpload, chunk: _Chunk) -> Response:
        """Finish an upload that has all its chunks, unless another request has done so."""
        record = self._finisher.finish(upload, chunk.session, chunk.request)
        if record is not None:
            return whole(201, "The file is stored.", record, chunk.request)
        # The other request has written the record since this one opened the upload.
        again = self._store.open(chunk.key)
        with again or nullcontext():
            past = again.published() if again is not None else None
            record = upload.record if past is None else past.record
            return whole(200, f"{chunk.name} is stored.", record, chunk.request)


def _tested(upload: StoredUpload, chunk: _Chunk) -> Response:
    """Answer a test of a chunk of an upload that is not over."""
    index, count = chunk.asked.index, chunk.record.total_chunks
    check_frozen(upload.record, chunk.record, cut=upload.record.published is None)
    # If finishing the upload failed, or was interrupted, the client has to send the last chunk again.
    waiting = upload.complete()
    listed = all_chunks(count - 1) if waiting else stored_chunks(upload, count)
    headers = (progress(upload), *listed)
    if index == count - 1 if waiting else not upload.has(index):
        return Response(204, headers=headers)
    return sentence(200, f"{chunk.name} is stored.", *headers)


def _stored_whole(past: PublishedUpload, chunk: _Chunk, *headers: tuple[str, str]) -> Response:
    return whole(200, "The file is stored.", past.record, chunk.request, *headers)
