"""Serve a receiver: ``with Server("incoming") as server: print(server.url)``."""

from __future__ import annotations

import atexit
import ipaddress
import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from multiprocessing.connection import wait
from types import TracebackType
from typing import TYPE_CHECKING

from ...errors import OptionError, StateError
from ..app import Receiver
from ..sweeper import sweep_or_log
from .connection import Limits
from .exposition import MetricsApplication
from .processes import Processes
from .tls import Certificate
from .wsgi import Application

if TYPE_CHECKING:
    from typing_extensions import Self

    from .acceptor import Acceptor

__all__ = ["Server"]

_log = logging.getLogger(__name__)

_WILDCARDS = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}
_SHARED_METRICS = "PROMETHEUS_MULTIPROC_DIR"
_BACKLOG = 128
_SCRAPERS = 16
"""Connections to the port of the metrics."""

_PAUSE = 1.0
_LAST = 3.0


class Server:
    """Serves a receiver, or a directory, over HTTP/1.1 until it is stopped.

    It listens on ``host`` and ``port``; port 0 chooses a free one. An address that other machines can reach raises
    OptionError unless the receiver has a token or you pass ``insecure=True``. ``limits`` says how much clients may use.
    The store is swept at the start, every ``sweep_every`` seconds, and at the end.

    For TLS, ``certfile`` is a PEM file with the certificate and its chain, and ``keyfile`` one with the key, unless
    ``certfile`` contains it. Both are read again within a minute after they change. ``metrics_port`` is a second port
    on the same host, where ``/metrics`` needs neither token nor TLS, whether the metrics are private or not.

    If ``processes`` is more than 1, that many child processes answer requests. They share the socket and the store.
    They are forked, so start the server before threads that may hold a lock; callbacks of the receiver run in the
    children. A child that dies is replaced, and no child outlives this process.
    """

    def __init__(
        self,
        receiver: Receiver | str | os.PathLike[str],
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        insecure: bool = False,
        processes: int = 1,
        limits: Limits | None = None,
        sweep_every: float = 3600.0,
        certfile: str | os.PathLike[str] | None = None,
        keyfile: str | os.PathLike[str] | None = None,
        metrics_port: int | None = None,
    ) -> None:
        self.receiver = receiver if isinstance(receiver, Receiver) else Receiver(receiver)
        self.limits = limits or Limits()
        if not (insecure or self.receiver.has_token or _is_loopback(host)):
            raise OptionError("host", host, "a loopback address unless there is a token or insecure=True")
        if processes < 1 or (processes > 1 and not hasattr(os, "fork")):
            raise OptionError("processes", processes, "at least 1, and exactly 1 on systems without fork()")
        if processes > 1 and self.receiver.metrics is not None and _SHARED_METRICS not in os.environ:
            raise OptionError(
                "processes", processes, f"1 with metrics, unless {_SHARED_METRICS} names an empty directory"
            )
        if sweep_every <= 0:
            raise OptionError("sweep_every", sweep_every, "more than 0")
        if keyfile is not None and certfile is None:
            raise OptionError("keyfile", os.fspath(keyfile), "given only with a certfile")
        if metrics_port is not None and self.receiver.metrics is None:
            raise OptionError("metrics_port", metrics_port, "given only for a receiver with metrics")
        self._certificate: Certificate | None = None
        if certfile is not None:
            self._certificate = Certificate(os.fspath(certfile), None if keyfile is None else os.fspath(keyfile))
        self._metrics_bind = None if metrics_port is None else (host, metrics_port)
        self._metrics_listening: socket.socket | None = None
        self._bind = (host, port)
        self._processes = processes
        self._sweep_every = sweep_every
        self._listening: socket.socket | None = None
        self._life: socket.socket
        self._ours: socket.socket
        self._running: list[threading.Thread] = []

    @property
    def port(self) -> int:
        """The port that it listens on. Raises StateError if it is not running."""
        if self._listening is None:
            raise StateError("return the port of the server", "it is not running")
        return int(self._listening.getsockname()[1])

    @property
    def url(self) -> str:
        """The URL for uploads from this machine. Raises StateError if it is not running."""
        return self._url("http" if self._certificate is None else "https", self.port)

    @property
    def metrics_url(self) -> str:
        """The URL of the metrics. Raises StateError if it is not running, or has no ``metrics_port``."""
        if self._metrics_listening is None:
            raise StateError("return the URL of the metrics", "they are not served")
        return self._url("http", int(self._metrics_listening.getsockname()[1])) + "metrics"

    def _url(self, scheme: str, port: int) -> str:
        host = _WILDCARDS.get(self._bind[0], self._bind[0])
        return f"{scheme}://[{host}]:{port}/" if ":" in host else f"{scheme}://{host}:{port}/"

    def start(self) -> Self:
        """Start accepting connections.

        Raises OSError if it cannot listen on the address, and OptionError if the certificate cannot be read.
        """
        if self._listening is not None:
            raise StateError("start the server", "it is running")
        from .acceptor import Acceptor  # needs cheroot, which the rest of the package does not

        if self._certificate is not None:
            self._certificate.context()
        listening = _listen(*self._bind)
        if self._metrics_bind is not None:
            try:
                self._metrics_listening = _listen(*self._metrics_bind)
            except BaseException:
                listening.close()
                raise
        self._listening = listening
        self._life, self._ours = socket.socketpair()
        self._allow_names()
        acceptors = [Acceptor(listening, Application(self.receiver), self.limits, self._certificate)]
        if self._metrics_listening is not None and self.receiver.metrics is not None:
            shown = MetricsApplication(self.receiver, self.receiver.metrics)
            acceptors.append(Acceptor(self._metrics_listening, shown, replace(self.limits, max_connections=_SCRAPERS)))
        serve = partial(_serve, acceptors, self._life)

        def serve_as_child() -> None:
            # The end that only the parent keeps is closed when the parent dies, however it dies.
            self._ours.close()
            serve()

        children = Processes(self._processes if self._processes > 1 else 0, serve_as_child)
        try:
            children.fork()
        except OSError:
            self.stop()
            raise
        if self._processes == 1:
            self._spawn("resumable-server", serve)
        else:
            # Without this, the interpreter would wait for the children before it ends, for ever.
            atexit.register(self.stop)
        self._spawn("resumable-keeper", partial(self._keep, self._life, children))
        return self

    def stop(self) -> None:
        """Stop accepting connections, and wait until running requests have ended. May be called more than once.

        Takes at most 3 seconds more than ``limits.grace``, the rest of a running sweep, and a last sweep: with
        ``fsync="finish"`` all that was received is on the disk after that.
        """
        if self._listening is None:
            return
        # Shut down, which all processes notice; closing it would only affect this one.
        self._ours.shutdown(socket.SHUT_RDWR)
        for thread in self._running:
            thread.join()
        self._running.clear()
        sweep_or_log(self.receiver.sweep)
        atexit.unregister(self.stop)
        for sock in (self._ours, self._life, self._listening, self._metrics_listening):
            if sock is not None:
                sock.close()
        self._listening = self._metrics_listening = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _allow_names(self) -> None:
        """Allow the names that clients use, with the name of this machine if it listens on all addresses."""
        host = self._bind[0]
        for name in [_WILDCARDS[host], socket.gethostname()] if host in _WILDCARDS else [host]:
            try:
                self.receiver.allow_host(name)
            except OptionError:
                continue  # a name that no client can request

    def _spawn(self, name: str, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=target, name=name, daemon=True)
        self._running.append(thread)
        thread.start()

    def _keep(self, life: socket.socket, children: Processes) -> None:
        """Sweep, and replace children, until the server is stopped. One thread: a child must not inherit a lock."""
        due = time.monotonic()
        while True:
            if time.monotonic() >= due:
                sweep_or_log(self.receiver.sweep)
                due = time.monotonic() + self._sweep_every
            patience = max(0, due - time.monotonic())
            ready = wait([life, *children.sentinels], min(patience, _PAUSE) if children.missing else patience)
            if life in ready:
                break
            if ready:
                children.reap()
            elif children.missing:
                self._replace(children)
        children.end(self.limits.grace + _LAST)

    def _replace(self, children: Processes) -> None:
        try:
            children.fork()
        except OSError:
            _log.exception("cannot start a server process")


def _serve(acceptors: list[Acceptor], life: socket.socket) -> None:
    """Serve all of them until the other end of ``life`` is closed."""
    others = [threading.Thread(target=each.run, args=(life,), daemon=True) for each in acceptors[1:]]
    for thread in others:
        thread.start()
    acceptors[0].run(life)
    for thread in others:
        thread.join()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _listen(host: str, port: int) -> socket.socket:
    """Return a non-blocking socket that listens there. Raises OSError."""
    family = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
    both = host == "::" and socket.has_dualstack_ipv6()
    listening = socket.create_server((host, port), family=family, backlog=_BACKLOG, dualstack_ipv6=both)
    listening.setblocking(False)
    return listening
