"""The SHA-256 of a whole file, which one sequential read beside its upload computes.

It cannot fall out of the sending: chunks are read in parallel, and those that the server has are not read at all.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from ..protocol.checksums import new_hash
from ..sources.base import Source
from ..transport.base import SourceFailure, Stopped

__all__ = ["FileDigest"]

logger = logging.getLogger("resumable")

_PIECE = 1 << 20
_LONGEST_WAIT = 0.05


class FileDigest:
    """Reads ``source`` once and hashes it, from :meth:`start` on. ``value`` is the hash in hexadecimal, None before
    it is known. Any thread may call anything."""

    def __init__(self, source: Source) -> None:
        self.value: str | None = None
        self._source = source
        self._error: Exception | None = None
        self._stopped = False
        self._over = threading.Event()

    @property
    def failed(self) -> bool:
        """Whether the file could not be read, or the reading was stopped."""
        return self._over.is_set() and self.value is None

    def start(self) -> None:
        """Begin to read, in a thread if it takes long enough."""
        if self._source.size > _PIECE:
            try:
                threading.Thread(target=self._run, name="resumable-checksum", daemon=True).start()
                return
            except RuntimeError:
                logger.warning("the system starts no more threads: a file is hashed before its last chunk is sent")
        self._run()

    def wait(self, stopped: Callable[[], bool]) -> str:
        """Return the hash in hexadecimal, once it is known. Raises Stopped, and SourceFailure if it will not be."""
        while not self._over.wait(_LONGEST_WAIT):
            if stopped():
                raise Stopped
        if self._error is not None:
            raise SourceFailure(self._error)
        if self.value is None:
            raise Stopped
        return self.value

    def stop(self) -> None:
        """Read no more."""
        self._stopped = True

    def _run(self) -> None:
        try:
            self.value = self._read()
        except Exception as error:
            self._error = error
        finally:
            self._over.set()

    def _read(self) -> str | None:
        digest = new_hash("sha256")
        buffer = memoryview(bytearray(min(_PIECE, self._source.size)))
        with self._source.open() as reader:
            for offset in range(0, self._source.size, _PIECE):
                if self._stopped:
                    return None
                piece = buffer[: self._source.size - offset]
                reader.read_into(piece, offset)
                digest.update(piece)
        return digest.hexdigest()
