"""Handlers on the thread of the windows of Qt, with PySide6 or PyQt6: ``Resumable(url, deliver=QtLoop())``."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

__all__ = ["QtLoop"]

BINDINGS = ("PySide6", "PyQt6")
"""The packages that bring Qt to Python. What the program has imported goes before what is installed."""

SLICE = 0.01
"""Seconds of a turn after which the rest waits for the next one, so that windows are drawn and can be used."""


class QtLoop:
    """Calls functions on the thread of the windows of Qt, one after the other. An object is given as ``deliver``.

    Make it on that thread, before the application or after it. Functions may be given before ``exec()`` runs, and wait
    for it. Once Qt is gone, ``closed`` is True with the next function, and they are dropped: the handlers of a session
    are called no more, and nothing waits for them.
    Raises ImportError if neither PySide6 nor PyQt6 is there, RuntimeError on another thread.

    What is posted to Qt goes before what people do with the mouse, and before drawing. So only the start of a timer is
    posted, which waits for its turn, and in which the functions are called for a slice of time.
    """

    def __init__(self) -> None:
        core = import_module(f"{_binding()}.QtCore")
        application = core.QCoreApplication.instance()
        if application is not None and application.thread() != core.QThread.currentThread():
            raise RuntimeError("a QtLoop is made on the thread of the application, and this is another one")
        self._functions: deque[Callable[[], Any]] = deque()
        self.closed = False
        # The application deletes it, on its own thread, as no other thread may.
        timer = core.QTimer(application)
        timer.setSingleShot(True)
        timer.timeout.connect(self._turn)
        # By a queue of Qt to the thread of the timer. emit() would do it, too, but with PySide6 6.12.0 before
        # Python 3.12 each call of that loses a reference to True, and the program aborts in the end.
        self._start = partial(core.QMetaObject.invokeMethod, timer, "start", core.Qt.ConnectionType.QueuedConnection)

    def __call__(self, function: Callable[[], Any]) -> None:
        """Have the function called on the thread of the windows, later. Called by any thread."""
        self._functions.append(function)
        try:
            self._start()
        except RuntimeError:
            # Qt has deleted its objects: the program ends.
            self.closed = True
            self._functions.clear()

    def _turn(self) -> None:
        end = time.monotonic() + SLICE
        try:
            while self._functions and time.monotonic() < end:
                self._functions.popleft()()
        finally:
            if self._functions:
                self._start()


def _binding() -> str:
    """Return the package that the program uses, or else one that is installed."""
    imported = [name for name in BINDINGS if f"{name}.QtCore" in sys.modules]
    # With both, the program runs the application of one.
    running = [name for name in imported if sys.modules[f"{name}.QtCore"].QCoreApplication.instance() is not None]
    for name in (*running, *imported):
        return name
    for name in BINDINGS:
        try:
            import_module(f"{name}.QtCore")
        except ImportError:
            continue
        return name
    raise ImportError("QtLoop needs PySide6 or PyQt6: pip install PySide6-Essentials", name=BINDINGS[0])
