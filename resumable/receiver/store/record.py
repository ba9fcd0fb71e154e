"""What is known about one upload, and how far it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...protocol.plan import ChunkPlan

__all__ = ["UploadRecord", "UploadStatus"]


@dataclass(frozen=True)
class UploadRecord:
    """What is known about one upload. Its first request fixes all fields up to ``tenant``. Sizes are in bytes.

    ``name`` is the safe relative path to publish under; ``published`` is the one that it was published under, None
    before that. ``file_sha256`` is the SHA-256 of the whole file in lower-case hexadecimal, fixed by the first request
    that has one, None before that; see :meth:`StoredUpload.set_file_sha256`. ``announced`` says whether the application
    knows of the published file; see :meth:`StoredUpload.notify_once`. ``collected`` says whether the application owns
    the file since then, so that it counts as stored wherever it is, None if that is not decided; ``forgotten`` says
    whether it has ceased to count as stored. ``sessions`` are the clients' sessions that began and finished the upload,
    if they identified themselves.

    ``metadata`` has the parameters of the first request that are not the protocol's own. ``result`` is what the
    application returned when it was told of the file, None if that is nothing. ``path`` is where the store has the
    published file: its full path for a :class:`~resumable.receiver.store.files.FileStore`; None before it is published.
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
    metadata: Mapping[str, str] = field(default_factory=dict, hash=False)
    result: Mapping[str, Any] | None = field(default=None, hash=False)
    path: str | None = None

    @property
    def plan(self) -> ChunkPlan:
        """How these numbers cut the file into chunks. Raises ValueError if they contradict each other."""
        return ChunkPlan.of_count(self.total_size, self.chunk_size, self.total_chunks)


@dataclass(frozen=True)
class UploadStatus:
    """How far one upload was at one moment.

    ``stored_chunks`` and ``stored_bytes`` count what is stored; ``touched`` is the time of the last change, in seconds
    since the epoch by the clock of the machine.
    """

    record: UploadRecord
    stored_chunks: int
    stored_bytes: int
    touched: float

    @property
    def name(self) -> str:
        """The name under which it is published, or will be."""
        return self.record.published or self.record.name

    @property
    def total_size(self) -> int:
        """The size of the whole file in bytes."""
        return self.record.total_size

    @property
    def total_chunks(self) -> int:
        """The number of chunks of the whole file."""
        return self.record.total_chunks

    @property
    def state(self) -> str:
        """``"done"`` when the file is published, ``"open"`` before."""
        return "open" if self.record.published is None else "done"
