"""A receiver with a server around it: ``with Server("incoming") as server: print(server.url)``."""

from __future__ import annotations

import ipaddress
import logging
import os
import socket
import threading
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ..errors import OptionError, StateError
from .app import Receiver
from .wsgi import Application

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Server"]

_log = logging.getLogger(__name__)

_SWEEP_EVERY = 3600.0


class Server:
    """Serves a receiver, or a directory, over HTTP/1.1 until it is stopped.

    ``port`` 0 is any free one. An address that others can reach is refused, as an OptionError, unless the receiver has
    a token or ``insecure`` says that none is wanted. ``threads`` is how many requests are answered at once;
    ``timeout`` the seconds after which a silent connection is cut. Stale uploads are swept at the start and every hour.
    """

    def __init__(
        self,
        receiver: Receiver | str | os.PathLike[str],
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        threads: int = 32,
        timeout: float = 15.0,
        insecure: bool = False,
    ) -> None:
        self.receiver = receiver if isinstance(receiver, Receiver) else Receiver(receiver)
        if not (insecure or self.receiver.has_token or _is_loopback(host)):
            raise OptionError("host", host, "a loopback address, as long as there is neither a token nor insecure=True")
        self._bind = (host, port)
        self._threads = threads
        self._timeout = timeout
        self._server: Any = None
        self._running: list[threading.Thread] = []
        self._stopping = threading.Event()

    @property
    def port(self) -> int:
        """The port that it listens on. Raises StateError while it is not running."""
        if self._server is None:
            raise StateError("say where the server listens", "it is not running")
        return int(self._server.bind_addr[1])

    @property
    def url(self) -> str:
        """Where uploads go. Raises StateError while it is not running."""
        host = self._bind[0]
        return f"http://[{host}]:{self.port}/" if ":" in host else f"http://{host}:{self.port}/"

    def start(self) -> Self:
        """It accepts connections when this returns. Raises OSError where the address cannot be had."""
        if self._server is not None:
            raise StateError("start the server", "it is running")
        server = _make(self._bind, Application(self.receiver), self._threads, self._timeout)
        server.prepare()
        self._server = server
        self._stopping.clear()
        self._running = [
            threading.Thread(target=server.serve, name="resumable-server", daemon=True),
            threading.Thread(target=self._sweep, name="resumable-sweeper", daemon=True),
        ]
        for thread in self._running:
            thread.start()
        return self

    def stop(self) -> None:
        """It accepts nothing any more, and requests in the middle were given a few seconds. Does nothing twice."""
        if self._server is None:
            return
        self._stopping.set()
        self._server.stop()
        for thread in self._running:
            thread.join()
        self._server = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _sweep(self) -> None:
        while True:
            try:
                self.receiver.store.sweep()
            except OSError:
                _log.exception("cannot sweep")
            if self._stopping.wait(_SWEEP_EVERY):
                return


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class _Input:
    """The body straight from the socket. cheroot's own reader copies each piece four times on its way."""

    def __init__(self, request: Any) -> None:
        self._body = request.rfile
        self._connection = request.conn

    def read(self, size: int) -> bytes:
        """At most this many bytes, as many as have come; none at the end or where the client is gone."""
        size = min(size, self._body.remaining)
        reader = self._connection.rfile
        piece: bytes = reader.read1(size) if reader.has_data() else self._connection.socket.recv(size)
        self._body.remaining -= len(piece)
        return piece


def _make(bind: tuple[str, int], application: Application, threads: int, timeout: float) -> Any:
    """The server of cheroot that runs the application."""
    try:
        from cheroot import wsgi
        from cheroot.server import HTTPConnection
    except ImportError as error:
        raise ImportError(
            "the server of the receiver is the package 'cheroot'; install it with: pip install 'resumable[server]'"
        ) from error

    class Gateway(wsgi.Gateway_10):
        def respond(self) -> None:
            self.env["wsgi.input"] = _Input(self.req)
            super().respond()

        def start_response(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            # Else cheroot reads what is left of a body, however long, into memory before it answers.
            if ("Connection", "close") in headers:
                self.req.close_connection = True
            return super().start_response(status, headers, exc_info)

    class Connection(HTTPConnection):
        def close(self) -> None:
            super().close()
            # Else an answer that could not be written fails once more when the garbage collector comes, on stderr.
            self.wfile.raw.close()

    bind_socket: Any = wsgi.Server.bind_socket

    class HTTPServer(wsgi.Server):
        @staticmethod
        def bind_socket(unbound: socket.socket, address: Any) -> Any:
            try:
                return bind_socket(unbound, address)
            except OSError:
                # cheroot leaves it to the garbage collector, which warns.
                unbound.close()
                raise

    server: Any = HTTPServer(bind, application, numthreads=threads, server_name="resumable", request_queue_size=128)
    server.gateway = Gateway
    server.ConnectionClass = Connection
    server.timeout = timeout
    # How long an idle server sleeps at once, and so how long it takes to stop.
    server.expiration_interval = 0.1
    server.max_request_header_size = 64 * 1024
    server.error_log = lambda message="", level=logging.INFO, traceback=False: _log.log(
        level, "%s", message, exc_info=bool(traceback)
    )
    return server
