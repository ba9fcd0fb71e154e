"""Read and write the record of an upload: a line of JSON, and the digests of the chunks if it is published."""

from __future__ import annotations

import copy
import dataclasses
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain

from .digests import DIGEST_SIZE
from .record import UploadRecord
from .safe_files import closing_fd, open_file, open_if_there

__all__ = [
    "KeptRecord",
    "read_digest",
    "read_digests",
    "read_kept",
    "read_open_record",
    "read_record",
    "write_record",
]

_BLOCK = 1 << 16
_TIMES = ("modified", "differing")
_LATER = ("metadata", "result", "superseded")
"""Fields that are written only if they say something, so that versions without them can read all other records."""


@dataclass(frozen=True)
class KeptRecord:
    """A record, with what only its store knows. Times are in nanoseconds since the epoch.

    ``modified`` is the modification time of the published file when it last had the bytes of the upload; ``differing``
    is its modification time when it had other bytes. ``superseded`` says that another upload has replaced the file.
    ``length`` is the length of the line in bytes.
    """

    record: UploadRecord
    modified: int | None = None
    differing: int | None = None
    superseded: bool = False
    length: int = 0


def read_record(directory_fd: int) -> UploadRecord:
    """Read the record in an open directory. Raises FileNotFoundError, or ValueError if it is damaged."""
    return read_kept(directory_fd).record


def read_kept(directory_fd: int) -> KeptRecord:
    """Read the record in an open directory with what only its store knows. Raises what :func:`read_record` raises."""
    with closing_fd(open_file("record", os.O_RDONLY, directory_fd)) as fd:
        return read_open_record(fd)


def read_open_record(fd: int) -> KeptRecord:
    """Read the record in an open file. Raises ValueError if it is damaged."""
    line = bytearray()
    while b"\n" not in line and (piece := os.pread(fd, _BLOCK, len(line))):
        line += piece
    length = line.find(b"\n") + 1 or len(line)
    kept = _parse(bytes(line[:length]))
    record = kept.record
    if not (record.metadata or record.result):
        return kept
    # A hook may change what it is given.
    own = dataclasses.replace(record, metadata=copy.deepcopy(record.metadata), result=copy.deepcopy(record.result))
    return dataclasses.replace(kept, record=own)


@lru_cache(maxsize=64)
def _parse(line: bytes) -> KeptRecord:
    """Return what a line says. All chunks of a file need the same line, and parsing takes longer than reading."""
    said = json.loads(line)
    times = {field: said.pop(field, None) for field in _TIMES}
    sessions = tuple(said.pop("sessions", ()))
    superseded = said.pop("superseded", False)
    return KeptRecord(UploadRecord(**said, sessions=sessions), **times, superseded=superseded, length=len(line))


def read_digests(fd: int, kept: KeptRecord) -> Iterator[bytes]:
    """Yield all digests behind the record in an open file, in blocks; fewer than chunks if they are unknown."""
    place = kept.length
    while block := os.pread(fd, _BLOCK, place):
        yield block[: len(block) // DIGEST_SIZE * DIGEST_SIZE]
        place += len(block)


def read_digest(fd: int, kept: KeptRecord, index: int) -> int:
    """Read the digest of a chunk behind the record in an open file; 0 if it is unknown."""
    cell = os.pread(fd, DIGEST_SIZE, kept.length + DIGEST_SIZE * index)
    return memoryview(cell.ljust(DIGEST_SIZE, b"\0")).cast("I")[0]


def write_record(directory_fd: int, kept: KeptRecord, *, durable: bool, digests: Iterable[bytes] | None = None) -> None:
    """Replace the record in an open directory, atomically. Without ``digests`` those of the old record are kept."""
    said = vars(kept.record) | {field: getattr(kept, field) for field in (*_TIMES, "superseded")}
    del said["path"]  # it changes if the directory is moved
    for field in _LATER:
        if not said[field]:
            del said[field]
    with ExitStack() as closing:
        if digests is None:
            previous_fd = open_if_there("record", os.O_RDONLY, directory_fd)
            if previous_fd is not None:
                closing.enter_context(closing_fd(previous_fd))
                digests = read_digests(previous_fd, kept)
        fd = open_file("record-new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, directory_fd)
        closing.enter_context(closing_fd(fd))
        for text in chain((json.dumps(said).encode() + b"\n",), digests or ()):
            while text:
                text = text[os.write(fd, text) :]
        if durable:
            os.fsync(fd)
    os.replace("record-new", "record", src_dir_fd=directory_fd, dst_dir_fd=directory_fd)
    if durable:
        os.fsync(directory_fd)
