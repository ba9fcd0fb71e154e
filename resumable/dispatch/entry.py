"""A file as the dispatcher knows it, and the plain records that handles become when they are pickled."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..core.file import FileCore
from ..core.meter import Meter
from ..transport.source import Source

__all__ = ["ChunkRecord", "Entry", "FileRecord"]


class FileRecord(NamedTuple):
    """What is known of a file apart from its progress. ``size`` is bytes; ``unique_identifier`` is None until a
    slow identifier has been made."""

    file_name: str
    relative_path: str
    size: int
    mime_type: str
    unique_identifier: str | None


class ChunkRecord(NamedTuple):
    """One chunk: ``number`` from 1, the bytes ``[start, end)`` of its file."""

    file: FileRecord
    number: int
    start: int
    end: int


class Entry:
    """One file. ``subject`` is the handle that users hold; ``core`` is there once the file was added.

    ``record`` and ``source`` are replaced, by the worker that prepares the file, before its first request; ``replaced``
    says that a hook gave other bytes.
    """

    def __init__(self, record: FileRecord, source: Source) -> None:
        self.record = record
        self.source = source
        self.replaced = False
        self.subject: Any = None
        self.core: FileCore
        self.meter = Meter()
