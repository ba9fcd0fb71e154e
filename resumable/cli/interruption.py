"""Ctrl-C and SIGTERM: the first stops in order, the second at once."""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

__all__ = ["InterruptGuard", "Interrupted"]

_SHOW_CURSOR = b"\r\n\x1b[?25h"


class Interrupted(BaseException):
    """A signal asks the program to stop. No Exception, so that nothing on the way takes it for an error."""

    def __init__(self, number: int) -> None:
        super().__init__("Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name)
        self.number = number

    @property
    def exit_code(self) -> int:
        """What a shell calls the end by this signal: 130 for SIGINT, 143 for SIGTERM."""
        return 128 + self.number


class InterruptGuard:
    """As a context manager: SIGINT and SIGTERM raise Interrupted in the main thread, where it is in the block.

    A second signal ends the process on the spot, whatever it is doing. A signal that whoever started us has set to be
    ignored stays ignored. What may block for long should :meth:`wait` first: a signal that comes just before a thread
    blocks in the system would be noticed when that is over.
    """

    def __init__(self) -> None:
        self._first: int | None = None
        self._held = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> InterruptGuard:
        self._woken, self._wakes = socket.socketpair()
        self._wakes.setblocking(False)
        self._fd_before = signal.set_wakeup_fd(self._wakes.fileno())
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._fd_before)
        self._woken.close()
        self._wakes.close()

    def wait(self, *descriptors: int) -> None:
        """One of the descriptors can be read without blocking; without any, only a signal ends this."""
        while True:
            ready, _, _ = select.select([self._woken.fileno(), *descriptors], [], [])
            if any(descriptor in ready for descriptor in descriptors):
                return
            self._woken.recv(64)  # a signal that is no matter of ours

    @contextmanager
    def held(self) -> Iterator[None]:
        """A signal that comes in this block, which is short and not to be left half done, is raised at its end."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
        if self._first is not None:
            raise Interrupted(self._first)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._first is not None:
            if sys.stderr.isatty():
                os.write(sys.stderr.fileno(), _SHOW_CURSOR)
            os._exit(128 + number)
        self._first = number
        if not self._held:
            raise Interrupted(number)
