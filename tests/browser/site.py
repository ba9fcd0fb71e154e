"""A receiver that serves the pages of the tests as well, counts what it is asked, and can hold uploads back."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from resumable.receiver import (
    FileStore,
    Receiver,
    Request,
    Response,
)

__all__ = ["Site"]

PATIENCE = 60.0
TYPES = {".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8"}


class Site(Receiver):
    """Uploads go into ``root``, where ``max_bytes`` limits them; ``/test/name`` is the file of this name in ``files``.

    ``stored`` are the numbers of the chunks in the order in which they were stored; ``tests``, ``listings`` and
    ``uploads`` count the requests, of the last those that were let in. After ``hold(2)`` that is two more, and whoever
    comes then waits, as if the server stood still, until ``turn_away()`` answers those who wait with 503 or
    ``let_in()`` lets all in. ``log`` has a line for every answer.
    """

    def __init__(
        self, root: Path, files: Mapping[str, Path] | None = None, *, max_bytes: int | None = None, **options: Any
    ) -> None:
        store = FileStore(root, fsync="never", max_bytes=max_bytes)
        super().__init__(store, on_chunk_received=self._remember, **options)
        self.root = root
        self.log: list[str] = []
        self.stored: list[int] = []
        self.tests = 0
        self.listings = 0
        self.uploads = 0
        self._files = files or {}
        self._changed = threading.Condition()
        self._room: float = float("inf")
        self._waiting = 0
        self._turned_away = 0

    def handle(self, request: Request) -> Response:
        """See :meth:`Receiver.handle`."""
        path = self._files.get(request.path.removeprefix("/test/"))
        if path is not None:
            return Response(200, path.read_bytes(), (("Content-Type", TYPES[path.suffix]),))
        if request.method == "GET":
            with self._changed:
                self.tests += bool(request.query)
                self.listings += request.path == "/uploads"
                self._changed.notify_all()
        if request.method not in ("GET", "OPTIONS") and not self._enter():
            response = Response(503, b"The server stands still.\n")
        else:
            response = super().handle(request)
        self.log.append(f"{request.method} {request.query.partition('&')[0]} {response.status}")
        return response

    def hold(self, room: int) -> None:
        """Let in only this many more uploads."""
        with self._changed:
            self._room = room

    def let_in(self) -> None:
        """Let in those who wait and everybody after them."""
        with self._changed:
            self._room = float("inf")
            self._changed.notify_all()

    def turn_away(self) -> None:
        """Answer those who wait with 503; nothing of what they sent is stored. Whoever comes next waits again."""
        with self._changed:
            self._turned_away += 1
            self._changed.notify_all()

    def expire(self) -> None:
        """Everything that was begun is gone, as if nobody had touched it for long."""
        store = FileStore(self.root, stale_after=0)
        while store.sweep() == 0:
            pass

    def wait(self, *, stored: int, waiting: int = 1) -> None:
        """As many chunks are stored, and at least as many uploads wait, when this returns."""
        self.wait_for(lambda: len(self.stored) == stored and self._waiting >= waiting)

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """What is said of the numbers here is true when this returns."""
        with self._changed:
            done = self._changed.wait_for(condition, PATIENCE)
            assert done, f"{self.stored} are stored, {self.tests} tests, {self.uploads} uploads, {self._waiting} wait"

    def _enter(self) -> bool:
        with self._changed:
            if self._room <= 0:
                turned_away = self._turned_away
                self._waiting += 1
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._room > 0 or self._turned_away > turned_away, PATIENCE)
                self._waiting -= 1
                if self._room <= 0 or self._turned_away > turned_away:
                    return False
            self._room -= 1
            self.uploads += 1
            return True

    def _remember(self, record: object, number: int) -> None:
        with self._changed:
            self.stored.append(number)
            self._changed.notify_all()
