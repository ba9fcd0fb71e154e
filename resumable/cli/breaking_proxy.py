"""A connection that breaks on purpose."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType

__all__ = ["BreakingProxy"]

_DEAD_FOR = 0.5


class BreakingProxy:
    """Pass bytes between clients and a server on this machine, and cut all connections once.

    That happens after ``cut_after`` bytes from the clients; for half a second no new connection is accepted. ``cut``
    counts the connections that were cut.
    """

    def __init__(self, port: int, *, cut_after: int) -> None:
        self._port = port
        self._left = cut_after
        self._dead_until = 0.0
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/"
        self.cut = 0

    def __enter__(self) -> BreakingProxy:
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._cut_all()
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        self._threads.append(threading.Thread(target=target, args=arguments, daemon=True))
        self._threads[-1].start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if time.monotonic() < self._dead_until:
                client.close()
                continue
            server = socket.create_connection(("127.0.0.1", self._port))
            self._open += [client, server]
            self._start(self._serve, client, server)

    def _serve(self, client: socket.socket, server: socket.socket) -> None:
        """Pass both directions of one connection, until it ends."""
        with client, server:
            answers = threading.Thread(target=self._pass, args=(server, client, False), daemon=True)
            answers.start()
            self._pass(client, server, True)
            answers.join()

    def _pass(self, here: socket.socket, there: socket.socket, upstream: bool) -> None:
        try:
            while data := here.recv(65536):
                if upstream and self._breaks(len(data)):
                    self.cut += self._cut_all()
                there.sendall(data)
        except OSError:
            pass
        for end in (here, there):
            _hang_up(end)

    def _breaks(self, size: int) -> bool:
        with self._lock:
            before, self._left = self._left, self._left - size
            return before > 0 >= self._left

    def _cut_all(self) -> int:
        """Cut all connections, and return how many."""
        self._dead_until = time.monotonic() + _DEAD_FOR
        ends, self._open = self._open, []
        return sum(_hang_up(end) for end in ends) // 2


def _hang_up(end: socket.socket) -> bool:
    """End the connection. Return whether there was one."""
    try:
        end.shutdown(socket.SHUT_RDWR)
    except OSError:
        return False
    return True
