"""Ctrl-C, SIGTERM and SIGHUP: the first stops in order, the second at once."""

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

if sys.platform != "win32":
    import termios

_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
_SHOW_CURSOR = b"\r\n\x1b[?25h"


class Interrupted(BaseException):
    """A signal asked the program to stop. It is not an Exception, so that nothing mistakes it for an error."""

    def __init__(self, number: int) -> None:
        super().__init__("Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name)
        self.number = number

    @property
    def exit_code(self) -> int:
        """The exit code that shells use for the signal: 129 for SIGHUP, 130 for SIGINT, 143 for SIGTERM."""
        return 128 + self.number


class InterruptGuard:
    """Let SIGINT, SIGTERM and SIGHUP raise Interrupted in the main thread, inside the ``with`` block.

    A second signal ends the process on the spot, whatever it is doing. A signal that is ignored already, as nohup does
    it, stays ignored. What may block for long should :meth:`wait` first: a signal that comes just before a thread
    blocks in the system would be noticed when that is over.

    Meanwhile the terminal does not show the ``^C`` that is typed: it could fall into the middle of a sequence that
    moves the cursor, and leave a line of the bars behind.
    """

    def __init__(self) -> None:
        self._first: int | None = None
        self._held = False
        self._before: dict[int, Any] = {}
        self._terminal: list[Any] | None = None

    def __enter__(self) -> InterruptGuard:
        self._woken, self._wakes = socket.socketpair()
        self._wakes.setblocking(False)
        self._fd_before = signal.set_wakeup_fd(self._wakes.fileno())
        self._terminal = _hide_control_characters()
        for number in _SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        _set_terminal(self._terminal)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._fd_before)
        self._woken.close()
        self._wakes.close()

    def wait(self, *descriptors: int) -> None:
        """Wait until one of the descriptors can be read without blocking; without any, only a signal ends this."""
        while True:
            ready, _, _ = select.select([self._woken.fileno(), *descriptors], [], [])
            if any(descriptor in ready for descriptor in descriptors):
                return
            self._woken.recv(64)  # a signal that is not one of ours

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold back a signal to the end of this block, which is short and must not be left half done."""
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
                _set_terminal(self._terminal)
            os._exit(128 + number)
        self._first = number
        if not self._held:
            raise Interrupted(number)


if sys.platform == "win32":

    def _hide_control_characters() -> list[Any] | None:
        """Return None: a console of Windows shows no ``^C``."""
        return None

    def _set_terminal(settings: list[Any] | None) -> None:
        """Do nothing."""

else:

    def _hide_control_characters() -> list[Any] | None:
        """Keep the terminal from showing ``^C``. Return its previous settings, or None if there is no terminal."""
        if sys.stderr is None or not sys.stderr.isatty():
            return None
        try:
            before = termios.tcgetattr(sys.stderr.fileno())
        except (OSError, termios.error):
            return None
        quiet = [*before]
        quiet[3] &= ~termios.ECHOCTL
        _set_terminal(quiet)
        return before

    def _set_terminal(settings: list[Any] | None) -> None:
        """Change the settings of the terminal, unless the program is in the background, where that would stop it."""
        if settings is None:
            return
        try:
            terminal = sys.stderr.fileno()
            if os.tcgetpgrp(terminal) == os.getpgrp():
                termios.tcsetattr(terminal, termios.TCSANOW, settings)
        except (OSError, termios.error):
            pass
