"""The body of a request: a chunk, streamed from its source through one buffer, with a form around it.

The buffer belongs to the worker and is used for chunk after chunk: fresh memory for each would cost more than
sending it. A chunk of at most one piece leaves in one write, together with what surrounds it.
"""

from __future__ import annotations

import binascii
import time
from collections.abc import Callable, Iterator
from typing import Protocol

from ..buffers import new_buffer
from ..protocol.checksums import new_hash
from ..protocol.form import Form, base64_length
from .base import Body, SourceFailure, Stopped
from .control import RequestControl

__all__ = ["HOLD_LIMIT", "PIECE", "ChunkBody", "HandedBody", "HeldBody", "Patience", "TextBody", "chunk_buffer"]

HOLD_LIMIT = 4.0
"""Seconds after which a request whose end is held may be given up: some servers take 5 s for a whole request."""

_LOOK_AFTER = 0.1
"""Seconds after which a request whose end is held is looked at again."""

PIECE = 1 << 20
"""Bytes that are read at once."""

_HASHED_FIRST = 1 << 17
"""The size of a chunk up to which it is better to send all of it at once, with its hash."""

_END = 1024
_ROOM = 16384
_WATCHED = 1 << 18
_UNWATCHED = 1 << 14


def chunk_buffer() -> memoryview:
    """Return a buffer for one worker: a piece, and room for what surrounds it."""
    return new_buffer(PIECE + _ROOM)


class _Reader(Protocol):
    def read_into(self, buffer: memoryview, offset: int) -> None: ...

    def verify_unchanged(self) -> None: ...


class ChunkBody:
    """The bytes ``[start, end)`` of what ``reader`` reads, within ``form`` if there is one. If that has a trailer, they
    are hashed by ``algorithm`` while they are sent, and the hash follows.

    Iterating raises SourceFailure if the source cannot be read or has changed. Used by one thread.
    """

    def __init__(
        self,
        reader: _Reader,
        start: int,
        end: int,
        *,
        buffer: memoryview,
        form: Form | None = None,
        base64: bool = False,
        algorithm: str = "",
    ) -> None:
        self._reader = reader
        self._start = start
        self._end = end
        self._buffer = buffer
        self._form = form
        self._head = form.head if form else b""
        self._base64 = base64
        self._algorithm = algorithm
        self._hash = new_hash(algorithm) if form and form.trailer else None
        size = end - start
        self._length = len(self._head) + (base64_length(size) if base64 else size) + len(self._tail())

    def __len__(self) -> int:
        return self._length

    def payload(self, written: int) -> int:
        """Return how many bytes of the chunk are among the first ``written`` of the body."""
        encoded = max(written - len(self._head), 0)
        return min(encoded // 4 * 3 if self._base64 else encoded, self._end - self._start)

    def __iter__(self) -> Iterator[bytes | memoryview]:
        if self._hash is not None:
            self._hash = new_hash(self._algorithm)
        return self._encoded() if self._base64 else self._plain()

    def _tail(self) -> bytes:
        """Return what follows the chunk, with the hash of what was read so far. It is always as long."""
        if self._form is None:
            return b""
        if self._hash is None:
            return self._form.tail
        return b"%b%b%b" % (self._form.trailer, self._hash.hexdigest().encode("ascii"), self._form.tail)

    def _plain(self) -> Iterator[bytes | memoryview]:
        buffer = self._buffer
        head, size = len(self._head), self._end - self._start
        together = self._length - size <= _ROOM
        filled = 0
        if together:
            buffer[:head] = self._head
            filled = head
        else:
            yield self._head
        # Once a piece is sent there is time for its hash: the network and the receiver are busy with it.
        late = self._hash if size > _HASHED_FIRST else None
        offset = self._start
        while offset < self._end:
            size = min(PIECE, self._end - offset)
            piece = self._read(buffer[filled : filled + size], offset, hashed=late is None)
            offset += size
            filled += size
            if offset < self._end or late is not None or not together:
                yield buffer[:filled]
                filled = 0
            if late is not None:
                late.update(piece)
        tail = self._tail()
        if filled:
            buffer[filled : filled + len(tail)] = tail
            yield buffer[: filled + len(tail)]
        else:
            yield tail

    def _encoded(self) -> Iterator[bytes | memoryview]:
        # Whole groups of three bytes, so that the pieces join to the base64 of the chunk.
        size = PIECE // 4 * 3
        size -= size % 3
        yield self._head
        for offset in range(self._start, self._end, size):
            piece = self._read(self._buffer[: min(size, self._end - offset)], offset)
            yield binascii.b2a_base64(piece, newline=False)
        yield self._tail()

    def _read(self, buffer: memoryview, offset: int, *, hashed: bool = True) -> memoryview:
        try:
            self._reader.read_into(buffer, offset)
        except Exception as error:
            raise SourceFailure(error) from error
        if hashed and self._hash is not None:
            self._hash.update(buffer)
        return buffer


class TextBody:
    """A body of bytes that are no chunk."""

    def __init__(self, text: bytes) -> None:
        self._text = text

    def __len__(self) -> int:
        return len(self._text)

    def payload(self, written: int) -> int:
        """Return 0: none of the bytes are of a chunk."""
        return 0

    def __iter__(self) -> Iterator[bytes | memoryview]:
        view = memoryview(self._text)
        return (view[start : start + PIECE] for start in range(0, len(view), PIECE))


class Patience:
    """How long a request waits for the release of its end: until it is HOLD_LIMIT old, or twice as old as when the last
    of its bytes left this machine. What they wait for shares the line with them, so it needs about as long, and to give
    them up would cost as much again."""

    def __init__(self, now: float) -> None:
        self._began = self._moved = now
        self._departed = 0

    def is_over(self, departed: int, now: float) -> bool:
        """Return whether it waits no longer. ``departed``: how many of its bytes have left by now."""
        if departed != self._departed:
            self._departed, self._moved = departed, now
        return now >= self._began + max(HOLD_LIMIT, 2 * (self._moved - self._began))


class HeldBody:
    """A body whose last bytes are sent when the control releases them, if the source is unchanged by then.

    Iterating raises Stopped if they are not released in time, and what the body raises.
    """

    def __init__(
        self, body: Body, reader: _Reader, control: RequestControl, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._body = body
        self._reader = reader
        self._control = control
        self._clock = clock
        self._patience = Patience(clock())
        self.payload = body.payload

    def __len__(self) -> int:
        return len(self._body)

    def __iter__(self) -> Iterator[bytes | memoryview]:
        left = max(len(self._body) - _END, 0)
        for piece in self._body:
            view = memoryview(piece)
            if left >= 0 and len(view) > left:
                yield view[:left]
                self._wait()
                self._verify_unchanged()
                view = view[left:]
                left = 0
            left -= len(view)
            yield view

    def _wait(self) -> None:
        control = self._control
        while not control.wait_for_release(_LOOK_AFTER):
            if self._patience.is_over(control.departed, self._clock()):
                raise Stopped

    def _verify_unchanged(self) -> None:
        try:
            self._reader.verify_unchanged()
        except Exception as error:
            raise SourceFailure(error) from error


class HandedBody:
    """A body for other writers than a watched socket: its pieces are bytes that may be kept, counted when they are
    taken.

    Iterating raises Stopped once the control has been stopped, and what the body raises.
    """

    def __init__(self, body: Body, control: RequestControl) -> None:
        self._body = body
        self._control = control

    def __len__(self) -> int:
        return len(self._body)

    def __iter__(self) -> Iterator[bytes]:
        control = self._control
        if not control.seen:
            control.rewind()
        # A timeout of requests is that of a whole piece, if no control writes it.
        size = _WATCHED if control.seen else _UNWATCHED
        for piece in self._body:
            view = memoryview(piece)
            for start in range(0, len(view), size):
                part = bytes(view[start : start + size])
                control.hand(len(part))
                yield part
