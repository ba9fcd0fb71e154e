"""Keep count of the open uploads of each tenant and of their bytes, so that limits are checked without counting.

The counts of all tenants are in one small file that is locked while an upload begins or ends. It is emptied before such
a change and written after it: if a process dies in between, the next one counts the uploads again. So it does if the
counts are from before a restart of the machine, because they may not have reached the disk.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

from ...errors import OptionError
from ...protocol.headers import LIMIT_HEADER
from ..messages import Refusal
from .bitmap import boot_id
from .record import UploadRecord
from .safe_files import closing_lock, open_file

__all__ = ["QUOTA_FILE", "Quotas", "TenantLimits", "check_reserve"]

QUOTA_FILE = "accounts"
"""The name of the file with the counts in the state directory."""

_LIMITED = (LIMIT_HEADER, "quota")
_Counts: TypeAlias = dict[str, list[int]]


@dataclass(frozen=True)
class TenantLimits:
    """How many unfinished uploads each tenant may have, and how many bytes they may have together; None is no limit.

    Raises :class:`~resumable.errors.OptionError` if a limit is negative.
    """

    max_open_uploads: int | None
    max_bytes: int | None

    def __post_init__(self) -> None:
        for option, limit in vars(self).items():
            if limit is not None and limit < 0:
                raise OptionError(option, limit, "0 or more, or None")

    def __bool__(self) -> bool:
        """Return whether there is a limit."""
        return self.max_open_uploads is not None or self.max_bytes is not None

    def check(self, record: UploadRecord, uploads: int, size: int) -> None:
        """Raise :class:`Refusal` if there is no room for one more upload: 413, 429 or 507.

        ``uploads`` and ``size`` are the number of unfinished uploads of its tenant and the sum of their bytes.
        """
        if self.max_open_uploads is not None and uploads >= self.max_open_uploads:
            sentence = (
                f"There are already {uploads} unfinished uploads, and this server allows {self.max_open_uploads} "
                "(max_open_uploads): finish one of them, or try again later."
            )
            raise Refusal(429, sentence, ("Retry-After", "60"))
        if self.max_bytes is None:
            return
        if record.total_size > self.max_bytes:
            sentence = (
                f"The file has {record.total_size} bytes, and all unfinished uploads together may have "
                f"{self.max_bytes} (max_bytes)."
            )
            raise Refusal(413, sentence, _LIMITED)
        if size + record.total_size > self.max_bytes:
            sentence = (
                f"The unfinished uploads have {size} of {self.max_bytes} bytes (max_bytes), which leaves no room for "
                f"{record.total_size} more: finish one of them, or try again later."
            )
            raise Refusal(507, sentence, _LIMITED)


class Quotas:
    """Counts the open uploads of each tenant, and holds them to ``limits``. Without limits nothing is counted.

    ``records(state_fd)`` yields the records of all open uploads.
    """

    def __init__(self, limits: TenantLimits, records: Callable[[int], Iterator[UploadRecord]]) -> None:
        self._limits = limits
        self._records = records

    @contextmanager
    def beginning(self, record: UploadRecord, state_fd: int) -> Iterator[None]:
        """Count one more open upload, which begins in the block. Raises :class:`Refusal` before it: 413, 429 or 507."""
        with self._changing(state_fd, record, 1):
            yield

    @contextmanager
    def ending(self, record: UploadRecord, state_fd: int) -> Iterator[None]:
        """Count one open upload less, which ends in the block."""
        with self._changing(state_fd, record, -1):
            yield

    def forget(self, state_fd: int) -> None:
        """Drop the counts, so that the uploads are counted again the next time."""
        try:
            fd = open_file(QUOTA_FILE, os.O_RDWR, state_fd)
        except FileNotFoundError:
            return
        with closing_lock(fd):
            fcntl.flock(fd, fcntl.LOCK_EX)
            os.ftruncate(fd, 0)

    @contextmanager
    def _changing(self, state_fd: int, record: UploadRecord, sign: int) -> Iterator[None]:
        if not self._limits:
            # Another process may have limits, or this one after its next start.
            self.forget(state_fd)
            yield
            return
        with closing_lock(open_file(QUOTA_FILE, os.O_RDWR | os.O_CREAT, state_fd)) as fd:
            fcntl.flock(fd, fcntl.LOCK_EX)
            counts = _read(fd)
            if counts is None:
                counts = self._count_all(state_fd)
            uploads, size = counts.get(record.tenant, (0, 0))
            if sign > 0:
                self._limits.check(record, uploads, size)
            os.ftruncate(fd, 0)
            yield
            counts[record.tenant] = [uploads + sign, size + sign * record.total_size]
            if not counts[record.tenant][0]:
                del counts[record.tenant]
            _write(fd, counts)

    def _count_all(self, state_fd: int) -> _Counts:
        counts: _Counts = {}
        for record in self._records(state_fd):
            account = counts.setdefault(record.tenant, [0, 0])
            account[0] += 1
            account[1] += record.total_size
        return counts


def check_reserve(directory_fd: int, reserve: int, size: int) -> None:
    """Raise :class:`Refusal` (507) if ``size`` more bytes would leave less than ``reserve`` bytes of the disk free."""
    disk = os.fstatvfs(directory_fd)
    if disk.f_bavail * disk.f_frsize - size < reserve:
        raise Refusal(
            507,
            f"The disk of the server has no room for {size} more bytes; {reserve} bytes stay free (reserve): free some "
            "space there.",
        )


def _boot() -> str:
    return (boot_id() or b"").hex()


def _read(fd: int) -> _Counts | None:
    """Read the counts; return None if there are none that are valid."""
    text = os.pread(fd, os.fstat(fd).st_size, 0)
    try:
        boot, counts = json.loads(text)
    except ValueError:
        return None
    return counts if boot == _boot() else None


def _write(fd: int, counts: _Counts) -> None:
    """Write the counts; leave the file empty if the disk is full."""
    text = json.dumps([_boot(), counts]).encode()
    try:
        if os.pwrite(fd, text, 0) < len(text):
            os.ftruncate(fd, 0)
    except OSError:
        os.ftruncate(fd, 0)
