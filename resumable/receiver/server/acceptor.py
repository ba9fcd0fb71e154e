"""All connections to one listening socket: accepted, counted, each served on a thread of its own, and ended."""

from __future__ import annotations

import logging
import socket
import threading
import time
from contextlib import closing
from multiprocessing.connection import wait
from typing import Any

from .connection import Connection, Limits
from .handler import Environment, Handler, answer_busy
from .wsgi import Application

__all__ = ["Acceptor"]

_log = logging.getLogger(__name__)

_MOST_REFUSED = 64
"""Connections above the limit that are told so at once; those above these are closed without a word."""

_PAUSE = 0.1
_LAST = 1.0
_COMPLAIN_EVERY = 60.0


class Acceptor:
    """Serves what connects to ``listening``, which does not block, and which several processes may share."""

    def __init__(self, listening: socket.socket, application: Application, limits: Limits) -> None:
        self._listening = listening
        self._limits = limits
        self._environment = Environment(application, listening.getsockname()[:2], lambda: self._stopping)
        self._environment.timeout = int(limits.idle_timeout)
        self._stopping = False
        self._changed = threading.Condition()
        self._open: dict[Connection, bool] = {}
        """Every connection, and whether it waits for a request."""
        self._running = {True: 0, False: 0}
        """How many threads serve and how many refuse."""
        self._complained = -_COMPLAIN_EVERY

    def run(self, life: socket.socket) -> None:
        """Serve until the other end of ``life`` is closed or shut down.

        Then nothing more is accepted, connections that wait for a request are closed, and requests that run are given
        ``grace`` seconds. What still runs a second after its connection was shut down is left behind on its thread.
        """
        while life not in wait([life, self._listening]):
            if not self._accept():
                wait([life], _PAUSE)
        self._listening.close()
        self._end()

    def _accept(self) -> bool:
        """Whether the next one may be accepted at once, and not after a pause."""
        try:
            sock, address = self._listening.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return True  # another process was first, or the client is gone
        except OSError as error:
            self._complain(error)
            return False
        with self._changed:
            served = self._running[True] < self._limits.max_connections
            if not served and self._running[False] >= _MOST_REFUSED:
                sock.close()
                return True
            self._running[served] += 1
        thread = threading.Thread(target=self._serve, args=(sock, address, served), name="resumable-connection")
        thread.daemon = True
        try:
            thread.start()
        except RuntimeError as error:
            self._ended(served)
            sock.close()
            self._complain(error)
            return False
        return True

    def _complain(self, error: Exception) -> None:
        if time.monotonic() - self._complained >= _COMPLAIN_EVERY:
            self._complained = time.monotonic()
            _log.error("cannot accept a connection: %s; trying again every %s s", error, _PAUSE)

    def _serve(self, sock: socket.socket, address: Any, served: bool) -> None:
        try:
            with sock, closing(Connection(sock, self._limits)) as connection:
                self._converse(connection, address, served)
        except OSError as error:
            _log.debug("a client is gone: %s", error)
        except Exception:
            _log.exception("a connection failed")
        finally:
            self._ended(served)

    def _converse(self, connection: Connection, address: Any, served: bool) -> None:
        def idle(state: bool) -> bool:
            with self._changed:
                self._open[connection] = state
                return not self._stopping

        try:
            if not served:
                idle(False)
                answer_busy(connection)
            else:
                Handler(connection, self._environment, address, idle).run()
        finally:
            with self._changed:
                self._open.pop(connection, None)

    def _ended(self, served: bool) -> None:
        with self._changed:
            self._running[served] -= 1
            self._changed.notify_all()

    def _end(self) -> None:
        def none() -> bool:
            return not any(self._running.values())

        with self._changed:
            self._stopping = True
            self._abort(only_idle=True)
            if not self._changed.wait_for(none, self._limits.grace):
                self._abort(only_idle=False)
                if not self._changed.wait_for(none, _LAST):
                    _log.warning("%s requests do not end", sum(self._running.values()))

    def _abort(self, *, only_idle: bool) -> None:
        for connection, idle in self._open.items():
            if idle or not only_idle:
                connection.abort()
