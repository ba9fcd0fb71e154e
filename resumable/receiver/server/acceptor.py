"""Accept the connections to one listening socket, count them, and serve each on a thread of its own."""

from __future__ import annotations

import logging
import socket
import ssl
import threading
import time
from contextlib import closing
from multiprocessing.connection import wait
from typing import Any

from .connection import Connection, Limits
from .exposition import MetricsApplication
from .handler import Handler, answer_busy
from .parsed_request import Environment
from .pressure import Peer, longest_silent
from .tls import Certificate
from .wsgi import Application

__all__ = ["Acceptor"]

_log = logging.getLogger(__name__)

_MOST_REFUSED = 64
"""Connections above the limit that get an answer at a time; any more are closed without one."""

_PRESSURE = 0.8
"""The part of the connections from which on silent ones are shut down for new ones."""

_PAUSE = 0.1
_LAST = 1.0
_COMPLAIN_EVERY = 60.0


class Acceptor:
    """Serves the connections to ``listening``, a non-blocking socket that several processes may share.

    With a ``certificate`` they speak TLS.
    """

    def __init__(
        self,
        listening: socket.socket,
        application: Application | MetricsApplication,
        limits: Limits,
        certificate: Certificate | None = None,
    ) -> None:
        self._listening = listening
        self._limits = limits
        self._certificate = certificate
        self._receiver = application.receiver
        self._environment = Environment(application, listening.getsockname()[:2], lambda: self._stopping)
        self._environment.timeout = int(limits.idle_timeout)
        self._stopping = False
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._open: dict[Connection, Peer] = {}
        """All connections, and who is at their other ends."""
        self._leaving = 0
        """How many of those that are served were shut down to make room, and have not ended yet."""
        self._running = {True: 0, False: 0}
        """How many threads serve connections (True) and how many refuse them (False)."""
        self._complained = -_COMPLAIN_EVERY

    def run(self, life: socket.socket) -> None:
        """Serve until the other end of ``life`` is closed or shut down.

        After that accept nothing more, close the connections that wait for a request, and give the running requests
        ``grace`` seconds. A request that still runs a second after its connection was shut down is left on its thread.
        """
        while life not in wait([life, self._listening]):
            if not self._accept():
                wait([life], _PAUSE)
        self._listening.close()
        deadline = time.monotonic() + self._limits.grace
        self._end()
        self._receiver.wait_for_hooks(max(0.0, deadline - time.monotonic()))

    def _accept(self) -> bool:
        """Accept a connection. Return whether to accept the next one at once, and not after a pause."""
        try:
            sock, address = self._listening.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return True  # another process was first, or the client has left
        except OSError as error:
            self._complain(error)
            return False
        with self._changed:
            self._make_room()
            served = self._running[True] - self._leaving < self._limits.max_connections
            served = served and self._running[True] < 2 * self._limits.max_connections
            if not served and self._running[False] >= _MOST_REFUSED:
                sock.close()
                return True
            self._running[served] += 1
        context = self._certificate.context() if self._certificate is not None else None
        thread = threading.Thread(
            target=self._serve, args=(sock, address, served, context), name="resumable-connection"
        )
        thread.daemon = True
        try:
            thread.start()
        except RuntimeError as error:
            self._ended(served)
            sock.close()
            self._complain(error)
            return False
        return True

    def _make_room(self) -> None:
        """Shut down the connection that is silent longest, if most are in use. The caller holds the lock."""
        used, most = self._running[True] - self._leaving, self._limits.max_connections
        if used < _PRESSURE * most:
            return
        silent = longest_silent(self._open.values(), time.monotonic(), full=used >= most)
        if silent is not None:
            silent.leaving = True
            self._leaving += 1
            silent.connection.abort()

    def _complain(self, error: Exception) -> None:
        if time.monotonic() - self._complained >= _COMPLAIN_EVERY:
            self._complained = time.monotonic()
            _log.error("cannot accept connections: %s; trying again every %s s", error, _PAUSE)

    def _serve(self, sock: socket.socket, address: Any, served: bool, context: ssl.SSLContext | None) -> None:
        try:
            with sock, closing(Connection(sock, self._limits, context)) as connection:
                self._handle(connection, address, served)
        except OSError as error:
            _log.debug("lost the connection to %s: %s", address[0], error)
        except Exception:
            _log.exception("the connection to %s failed", address[0])
        finally:
            self._ended(served)

    def _handle(self, connection: Connection, address: Any, served: bool) -> None:
        peer = Peer(connection, address[0])

        def idle(state: bool) -> bool:
            with self._lock:
                self._open[connection] = peer
                peer.silent_since = time.monotonic() if state else None
                return not self._stopping

        try:
            if not served:
                idle(False)
                answer_busy(connection)
            else:
                Handler(connection, self._environment, address, idle).run()
        finally:
            with self._lock:
                self._open.pop(connection, None)
                self._leaving -= peer.leaving

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
                    _log.warning("stopped while %s requests were still running", sum(self._running.values()))

    def _abort(self, *, only_idle: bool) -> None:
        for connection, peer in self._open.items():
            if peer.silent_since is not None or not only_idle:
                connection.abort()
