"""What a receiver asks of a storage, so that more than one kind can stand behind it.

The one that comes with it is :class:`~resumable.receiver.files.FileStore`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from ..protocol.plan import ChunkPlan

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Store", "StoredUpload", "UploadRecord"]


@dataclass(frozen=True)
class UploadRecord:
    """What is known of one upload; all but ``published`` is frozen by its first request. Sizes are bytes.

    ``name`` is the safe relative path to publish under, ``published`` the one it was published under, None before.
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

    @property
    def plan(self) -> ChunkPlan:
        """The cut that these numbers say: resumable.js's default one, or the one of ``forceChunkSize``."""
        plan = ChunkPlan(self.total_size, self.chunk_size)
        return plan if plan.count == self.total_chunks else ChunkPlan(self.total_size, self.chunk_size, force=True)


class StoredUpload(Protocol):
    """One request's hold on one upload, to be used in a ``with`` block; it cannot be swept away meanwhile."""

    @property
    def record(self) -> UploadRecord:
        """What was known of the upload when it was opened."""

    def has(self, index: int) -> bool:
        """Whether the chunk is stored."""

    def ranges(self) -> Iterator[tuple[int, int]]:
        """The ranges ``[start, stop)`` of the stored chunks, ascending."""

    def complete(self) -> bool:
        """Whether all chunks are stored."""

    def receive(self, index: int, pieces: Iterator[bytes]) -> bool:
        """Store the chunk; True where it was not there before.

        It is stored when all pieces came and are as long as the plan says, and not at all else. A chunk that is there
        is compared. Raises :class:`Refusal`: 400 for another length, 409 for other bytes, 503 where another request
        that sends this chunk does not end; and whatever the pieces raise.
        """

    def publish(self) -> UploadRecord | None:
        """Publish the whole file under its name; None where that was done before.

        The name never exists with anything but the whole file under it, and nothing is overwritten.
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
        """There is an upload of this key afterwards: with this record, or the one of whoever came first."""

    def sweep(self) -> int:
        """Remove what nobody has touched for long, and say how many uploads that were. Never touches a live one."""
