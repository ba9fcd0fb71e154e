"""What a receiver asks of a storage, so that more than one kind can stand behind it.

The one that comes with it is :class:`~resumable.receiver.store.files.FileStore`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from ...protocol.plan import ChunkPlan
from ..messages import Refusal

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Discarded", "PublishedUpload", "Store", "StoredUpload", "UploadRecord", "UploadStatus", "other_hash"]


@dataclass(frozen=True)
class UploadRecord:
    """What is known of one upload; its first request freezes all but ``published`` and what follows. Sizes are bytes.

    ``name`` is the safe relative path to publish under, ``published`` the one it was published under, None before.
    ``file_sha256`` is the SHA-256 of the whole file in lower-case hexadecimal, frozen by the first request that says
    one, None before; see :meth:`StoredUpload.set_file_sha256`. ``announced`` says whether whoever wants to know of the
    published file has been told; see :meth:`StoredUpload.notify_once`. ``collected`` says whether the application owns
    the file since then, so that it counts as stored wherever it is, None if nobody said; ``forgotten`` whether that was
    ended. ``sessions`` are the clients' sessions that began and that finished it, as far as they said who they are.
    """

    identifier: str
    file_name: str
    relative_path: str
    type: str
    total_size: int
    chunk_size: int
    total_chunks: int
    name: str
    tenant: str = ""
    published: str | None = None
    announced: bool = False
    file_sha256: str | None = None
    collected: bool | None = None
    forgotten: bool = False
    sessions: tuple[str, ...] = ()

    @property
    def plan(self) -> ChunkPlan:
        """The cut that these numbers say. Raises ValueError where they contradict each other."""
        return ChunkPlan.of_count(self.total_size, self.chunk_size, self.total_chunks)


@dataclass(frozen=True)
class UploadStatus:
    """How far one upload was when it was looked at.

    ``stored_chunks`` and ``stored_bytes`` count what is stored, ``touched`` is when that last changed, in seconds since
    the epoch by the clock of the machine.
    """

    record: UploadRecord
    stored_chunks: int
    stored_bytes: int
    touched: float

    @property
    def name(self) -> str:
        """The name it is published under, or asks for."""
        return self.record.published or self.record.name

    @property
    def total_size(self) -> int:
        """The size of the whole file in bytes."""
        return self.record.total_size

    @property
    def total_chunks(self) -> int:
        """Into how many chunks the file is cut."""
        return self.record.total_chunks

    @property
    def state(self) -> str:
        """``"done"`` when the file is published, ``"open"`` before."""
        return "open" if self.record.published is None else "done"


class Discarded(Refusal):
    """Raised if the upload of a request has been removed."""

    def __init__(self) -> None:
        super().__init__(409, "The upload was removed while the request was running: upload the file again.")


def other_hash(known: str, said: str) -> Refusal:
    """Return the refusal of a request that gives an upload another SHA-256 than an earlier one."""
    return Refusal(
        409,
        f"An unfinished upload with this identifier has the SHA-256 {known}, not {said}, so the file has changed: "
        "upload it under another identifier.",
    )


class PublishedUpload(Protocol):
    """What is remembered of an upload that was published."""

    @property
    def record(self) -> UploadRecord:
        """What is known of it."""

    def finished_by(self, session: str) -> bool:
        """Return whether a request of this session may be a repeat: it began or finished the upload, not long ago."""

    def stands(self, *, collected: bool) -> bool:
        """Return whether the file counts as stored: it is there, with the bytes that were published.

        ``collected`` says whether the application owns its files, if the store and the record do not say. A file that
        it owns counts as stored whatever became of it, until the upload is forgotten. Raises :class:`Refusal` (503) if
        that cannot be found out at the moment, and :class:`Discarded` if the upload has given way meanwhile.
        """

    def repeats(self, record: UploadRecord, index: int, pieces: Iterator[bytes]) -> Iterator[bytes] | None:
        """Compare a chunk of an upload with this record; return None if the published file has the same bytes there.

        Else, or if that cannot be known, return the bytes once more. Raises :class:`Refusal`: 400 for another length,
        503 if the file cannot be read at the moment; and whatever the pieces raise.
        """


class StoredUpload(Protocol):
    """One request's hold on one upload, to be used in a ``with`` block; it cannot be swept away meanwhile."""

    @property
    def record(self) -> UploadRecord:
        """What was known of the upload when it was opened."""

    def has(self, index: int) -> bool:
        """Whether the chunk is stored."""

    def ranges(self) -> Iterator[tuple[int, int]]:
        """The ranges ``[start, stop)`` of the stored chunks, ascending."""

    def stored(self) -> int:
        """How many chunks are stored, for people to read: at least so many."""

    def complete(self) -> bool:
        """Whether all chunks are stored."""

    def receive(self, index: int, pieces: Iterator[bytes]) -> bool:
        """Store the chunk; True where it was not there before.

        It is stored when all pieces came and are as long as the plan says, and not at all else. A chunk that is there
        is compared. Raises :class:`Refusal`: 400 for another length, 409 for other bytes or an upload that was
        discarded meanwhile, 503 where another request that sends this chunk does not end, 507 where the storage keeps
        what room there is for itself; and whatever the pieces raise.
        """

    def set_file_sha256(self, sha256: str) -> None:
        """The record has this hash of the whole file afterwards, unless the file is published already.

        What stands in the record then is what ``verify`` of :meth:`publish` gets, whichever request completes the
        file. Raises :class:`Refusal`: 409 where another hash was said first, or the upload was discarded meanwhile, 503
        where another request that publishes does not end.
        """

    def publish(self, verify: Callable[[UploadRecord, Iterator[bytes]], object] | None = None) -> UploadRecord | None:
        """Publish the whole file under its name; None where that was done before.

        The name never exists with anything but the whole file under it, and nothing is overwritten. ``verify`` gets
        the record as it is now and the bytes of the file in pieces first; what it raises comes out here, and the file
        is not published. Of several that call this at once, one gets the record and the others None, after waiting.
        Raises :class:`Refusal`: 409 where the name cannot be had, 503 where another request that publishes does not
        end; and OSError where a chunk is missing.
        """

    def notify_once(
        self, tell: Callable[[UploadRecord], object] | None = None, *, collected: bool = False, session: str = ""
    ) -> bool:
        """Call ``tell`` with the record of the published file, once; True where this call did it.

        ``collected`` says whether whoever is told owns the file then, if the store does not say. ``session`` has
        finished the upload.

        False where that was done before, and where the file is not published. When ``tell`` raises, or the process
        dies in it, the file stays published and not announced, so that the next one to call this calls ``tell`` again.
        Of several that call this at once, one calls ``tell`` while the others wait for it. Raises :class:`Refusal`
        (503) where it does not end.
        """

    def published(self) -> PublishedUpload | None:
        """Return what is remembered of the published file, as long as this is held; None before it is published.

        Raises :class:`Discarded` if the upload has given way meanwhile.
        """

    def give_way(self) -> None:
        """Leave the key of this upload, which was published, to another one; the file stays.

        The next :meth:`Store.open` finds none, or one that somebody else began; :meth:`Store.earlier` finds this one.
        Does nothing if it has given way.
        """

    def discard(self) -> None:
        """Forget the upload and what is stored of it; a published file stays.

        The next request with its key begins a new one. Other requests that hold it get a :class:`Refusal` (409).
        """

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Store(Protocol):
    """What the receiver asks of a storage. ``key`` is 40 hexadecimal digits. All may raise OSError."""

    def open(self, key: str) -> StoredUpload | None:
        """The upload of this key, None where there is none."""

    def create(self, key: str, record: UploadRecord) -> None:
        """There is an upload of this key afterwards: with this record, or the one of whoever came first.

        Raises :class:`Refusal`: 413 where it can never fit, 429 where the tenant has too many open uploads, 507
        where there is no room for it.
        """

    def earlier(self, key: str) -> AbstractContextManager[PublishedUpload | None]:
        """Return, for a block, what is remembered of the upload of this key that gave way last."""

    def forget(self, key: str, record: UploadRecord) -> bool:
        """Let a published file count as stored no longer, and return whether there was something to forget.

        Nothing changes if ``record`` is not that of the upload with this key: if another one began since, say.
        """

    def uploads(self, tenant: str = "", limit: int = 200) -> Iterator[UploadStatus]:
        """The uploads of a tenant, open and done, those touched last first. Creates nothing and holds nothing."""

    def sweep(self, expired: Callable[[UploadRecord], object] | None = None) -> int:
        """Remove what nobody has touched for long, and say how many uploads that were. Never touches a live one.

        ``expired`` is called with the record of every unfinished upload after it was removed.
        """
