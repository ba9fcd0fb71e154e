"""Handlers on the thread of a Tk window: ``Resumable(url, deliver=TkLoop(root))``."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import tkinter

__all__ = ["TkLoop"]

INTERVAL = 20
"""Milliseconds between two turns."""

SLICE = 0.01
"""Seconds of a turn after which the rest waits for the next one, so that the window is drawn and can be used."""


class TkLoop:
    """Calls functions on the thread of a Tk window, one after the other. An object is given as ``deliver``.

    Make it on that thread, with any widget of the program. Functions may be given before ``mainloop()`` runs, and wait
    for it. Once the root window is destroyed, ``closed`` is True, and they are dropped: the handlers of a session are
    called no more, and nothing waits for them. Raises RuntimeError on another thread if the main loop does not run.

    Other threads do not touch Tk, which would keep them until the main loop takes notice of them, or raise. They leave
    the function in a queue, which a timer of Tk empties, a slice of time in each turn.
    """

    def __init__(self, widget: tkinter.Misc) -> None:
        self._root = widget.nametowidget(".")
        self._functions: deque[Callable[[], Any]] = deque()
        self.closed = False
        try:
            self._timer = self._root.after(0, self._turn)
            self._root.bind("<Destroy>", self._destroyed, add="+")
        except RuntimeError as error:
            # Of Tk, which waits a second for its thread to take notice.
            raise RuntimeError("a TkLoop is made on the thread of the window, and this is another one") from error

    def __call__(self, function: Callable[[], Any]) -> None:
        """Have the function called on the thread of the window, later. Called by any thread."""
        if not self.closed:
            self._functions.append(function)

    def _turn(self) -> None:
        # The next turn is certain before anything is called: that may raise, or open a dialog that runs a loop.
        self._timer = self._root.after(INTERVAL, self._turn)
        end = time.monotonic() + SLICE
        while self._functions and time.monotonic() < end:
            self._functions.popleft()()

    def _destroyed(self, event: tkinter.Event[Any]) -> None:
        # Those of all widgets come here.
        if event.widget is self._root:
            self.closed = True
            self._root.after_cancel(self._timer)
            self._functions.clear()
