"""The interface between a receiver and the storage behind it.

The storage that comes with the package is :class:`~resumable.receiver.store.files.FileStore`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from .record import UploadRecord, UploadStatus

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = [
    "Look",
    "PublishedUpload",
    "QuickStore",
    "QuickUpload",
    "Store",
    "StoredUpload",
]


class PublishedUpload(Protocol):
    """A published upload, as far as it is remembered."""

    @property
    def record(self) -> UploadRecord:
        """What is known about the upload."""

    def finished_by(self, session: str) -> bool:
        """Return whether this session began or finished the upload not long ago, so that it may repeat a request."""

    def counts_as_stored(self, *, collected: bool) -> bool:
        """Return whether the file counts as stored: whether it exists and has the bytes that were published.

        ``collected`` says whether the application owns its files, if neither the store nor the record says so. A file
        that it owns counts as stored, even if it was moved or deleted, until the upload is forgotten. Raises
        :class:`Refusal` (503) if that cannot be determined at the moment, and :class:`Discarded` if the upload has
        given way in the meantime.
        """

    def repeats(self, record: UploadRecord, index: int, pieces: Iterator[bytes]) -> Iterator[bytes] | None:
        """Compare a chunk with the published file, and return None if it has the same bytes in that place.

        Otherwise, or if that cannot be determined, return the bytes again. Raises :class:`Refusal`: 400 if the length
        is wrong, 503 if the file cannot be read at the moment; and whatever the pieces raise.
        """


class StoredUpload(Protocol):
    """One upload, opened by one request in a ``with`` block, during which it is not swept."""

    @property
    def record(self) -> UploadRecord:
        """What was known about the upload when it was opened."""

    def has(self, index: int) -> bool:
        """Return whether the chunk is stored."""

    def ranges(self) -> Iterator[tuple[int, int]]:
        """Yield the ranges ``[start, stop)`` of the stored chunks in ascending order."""

    def stored(self) -> int:
        """Return how many chunks are stored, or a smaller number if counting all takes long. It is shown to people."""

    def complete(self) -> bool:
        """Return whether all chunks are stored."""

    def receive(self, index: int, pieces: Iterator[bytes]) -> bool:
        """Store the chunk, and return True if it is new.

        It is stored only if all pieces arrive and have the length that the plan says. A chunk that is already stored is
        compared. Raises :class:`Refusal`: 400 if the length is wrong, 409 if the bytes differ or the upload was
        discarded in the meantime, 503 if another request still sends this chunk, 507 if there is no room for it; and
        whatever the pieces raise.
        """

    def set_file_sha256(self, sha256: str) -> None:
        """Save the hash of the whole file in the record, unless the file is already published.

        ``verify`` of :meth:`publish` gets the saved hash, whichever request completes the file. Raises
        :class:`Refusal`: 409 if the record has another hash or the upload was discarded in the meantime, 503 if another
        request is still publishing.
        """

    def publish(self, verify: Callable[[UploadRecord, Iterator[bytes]], object] | None = None) -> UploadRecord | None:
        """Publish the whole file under its name, and return its record; None if that was done before.

        The name never exists with anything but the whole file, and nothing is overwritten. ``verify`` is called first,
        with the current record and the bytes of the file in pieces; if it raises, so does this method, and the file is
        not published. Of several concurrent calls, one returns the record; the others wait and return None. Raises
        :class:`Refusal`: 409 if the name is not available, 503 if another request is still publishing; and OSError if a
        chunk is missing.
        """

    def notify_once(
        self,
        callback: Callable[[UploadRecord], Mapping[str, Any] | None] | None = None,
        *,
        collected: bool = False,
        session: str = "",
    ) -> UploadRecord | None:
        """Call ``callback`` with the record of the published file, once. Return the record if this call did it.

        What ``callback`` returns becomes the ``result`` of the record; it can be written as JSON. ``collected`` says
        whether the application owns the file after that, if the store does not say so. ``session`` is the client's
        session that has finished the upload.

        Return None if that was done before, or if the file is not published. If ``callback`` raises, or the process
        dies in it, the file stays published but not announced, and the next call of this method calls ``callback``
        again. Of several concurrent calls, one calls ``callback`` and the others wait for it. Raises :class:`Refusal`
        (503) if it takes too long.
        """

    def published(self) -> PublishedUpload | None:
        """Return what is remembered of the published file, for as long as this is open; None before it is published.

        Raises :class:`Discarded` if the upload has given way in the meantime.
        """

    def give_way(self) -> None:
        """Release the key of this published upload for another one; the file stays.

        The next :meth:`Store.open` finds no upload, or one that another request began; :meth:`Store.earlier` finds this
        one. Does nothing if it has already given way.
        """

    def discard(self) -> None:
        """Remove the upload and its stored chunks; a published file stays.

        The next request with its key begins a new upload. Other requests that have it open get a :class:`Refusal`
        (409).
        """

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


Look = Callable[[str], "PublishedUpload | None"]
"""Returns what is remembered of the published upload of a key, valid until the next call; None if there is no upload.

Raises LookupError if it can tell only when the upload is opened.
"""


@runtime_checkable
class QuickStore(Protocol):
    """A store that can tell of many published uploads for much less than it costs to open each of them.

    One that cannot is not asked about many files at once.
    """

    def lookup(self) -> AbstractContextManager[Look]:
        """Return a context manager that gives its block a function to look for published uploads.

        It locks and changes nothing. The function may raise LookupError instead of reading or writing a file. Raises
        OSError, and :class:`Refusal` (503).
        """


@runtime_checkable
class QuickUpload(Protocol):
    """A :class:`StoredUpload` that publishes for less if no callback has to know of the file."""

    def publish_announced(
        self,
        verify: Callable[[UploadRecord, Iterator[bytes]], object] | None = None,
        *,
        collected: bool = False,
        session: str = "",
    ) -> UploadRecord | None:
        """Do what :meth:`StoredUpload.publish` and :meth:`StoredUpload.notify_once` without a callback do.

        Return and raise what they do.
        """


class Store(Protocol):
    """What a receiver needs of a storage. ``key`` is 40 hexadecimal digits. All methods may raise OSError.

    If its class itself says ``takes_views = True``, the pieces of a chunk may be memoryviews of a buffer that the next
    piece overwrites, which saves their copies. Its uploads must then keep no piece.
    """

    def open(self, key: str) -> StoredUpload | None:
        """Open the upload of this key; return None if there is none."""

    def create(self, key: str, record: UploadRecord) -> None:
        """Create an upload of this key with this record, unless there is one already.

        Raises :class:`Refusal`: 413 if it can never fit, 429 if the tenant has too many open uploads, 507 if there is
        no room for it.
        """

    def earlier(self, key: str) -> AbstractContextManager[PublishedUpload | None]:
        """Return a context manager that gives its block the last upload that gave way to another one with this key."""

    def forget(self, key: str, record: UploadRecord) -> bool:
        """Stop counting a published file as stored, and return whether it counted.

        Does nothing if ``record`` is not that of the upload with this key, for example because another one has begun.
        """

    def discard(self, key: str) -> UploadRecord | None:
        """Remove the unfinished upload of this key with its chunks, and return its record.

        Return None if there is no upload, or if it is published. Raises :class:`Refusal` (409) if a request is known to
        have the upload open.
        """

    def uploads(self, tenant: str | None = None, limit: int | None = None) -> Iterator[UploadStatus]:
        """Return the uploads of a tenant, or of all, finished or not, the latest change first. Locks nothing."""

    def sweep(self, expired: Callable[[UploadRecord], object] | None = None) -> int:
        """Remove the uploads that are too old, and return how many they were. Never removes one that is in use.

        ``expired`` is called with the record of each unfinished upload after it was removed.
        """
