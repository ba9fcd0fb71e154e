"""TLS for connections that never block: the handshake is a part of the first read, under the same time limits."""

from __future__ import annotations

import logging
import os
import selectors
import socket
import ssl
import time
from typing import NoReturn

from ...errors import OptionError
from ...special_files import refuse_special_file

__all__ = ["Blocked", "Certificate", "PlainAttempt", "TLSSocket"]

_log = logging.getLogger(__name__)

_HANDSHAKE = b"\x16"
"""The first byte of a client that speaks TLS."""


class PlainAttempt(Exception):
    """Raised if a client does not speak TLS, which this server does."""


class Blocked(BlockingIOError):
    """Raised if the socket has to be ready for ``event`` first, which may be the other one than that of the call."""

    def __init__(self, event: int) -> None:
        super().__init__()
        self.event = event


class Certificate:
    """A certificate with its key, in files of PEM; read again at most ``look_every`` seconds after they have
    changed."""

    def __init__(self, certfile: str, keyfile: str | None, *, look_every: float = 60.0) -> None:
        self._certfile = certfile
        self._keyfile = keyfile
        self._look_every = look_every
        self._context: ssl.SSLContext | None = None
        self._version: object = None
        self._look_at = 0.0

    def context(self) -> ssl.SSLContext:
        """Return what new connections use. Not thread-safe. Raises OptionError the first time if it cannot be read."""
        now = time.monotonic()
        if self._context is not None and now < self._look_at:
            return self._context
        self._look_at = now + self._look_every
        try:
            version = [os.stat(path).st_mtime_ns for path in (self._certfile, self._keyfile) if path is not None]
            if self._context is None or version != self._version:
                self._context, self._version = self._load(), version
        except (OSError, OptionError) as error:
            if self._context is None:
                raise self._unreadable(error) from error
            _log.warning("cannot read the certificate %r anew, and keep the old one: %s", self._certfile, error)
        return self._context

    def _load(self) -> ssl.SSLContext:
        def ask() -> NoReturn:
            raise OptionError("keyfile", self._keyfile or self._certfile, "a key without a passphrase")

        for path in (self._certfile, self._keyfile):
            if path is not None:
                refuse_special_file(path)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        context.load_cert_chain(self._certfile, self._keyfile, ask)
        return context

    def _unreadable(self, error: Exception) -> OptionError:
        if isinstance(error, OptionError):
            return error
        if isinstance(error, ssl.SSLError):
            key = "" if self._keyfile is None else f" that {self._keyfile!r} has the key of"
            return OptionError("certfile", self._certfile, f"a PEM file with a certificate{key or ' and its key'}")
        path = getattr(error, "filename", None) or self._certfile
        option = "certfile" if path == self._certfile else "keyfile"
        return OptionError(option, path, f"a file that can be read ({getattr(error, 'strerror', error)})")


class TLSSocket:
    """What a connection needs of a socket, with TLS. Takes ``sock`` over; nothing is sent or received yet."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        self._socket = context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        self._begun = False
        self._plain = False
        """Whether bytes are moved as they are: to a client without TLS, and behind the end of TLS."""

    def fileno(self) -> int:
        """Return the descriptor of the socket."""
        return self._socket.fileno()

    def recv_into(self, buffer: memoryview, size: int) -> int:
        """Receive at most this many bytes, and return how many; 0 if the client has finished.

        Raises OSError and PlainAttempt.
        """
        if self._plain:
            return socket.socket.recv_into(self._socket, buffer, size)
        if not self._begun:
            first = socket.socket.recv(self._socket, 1, socket.MSG_PEEK)
            self._begun = True
            if first not in (b"", _HANDSHAKE):
                self._plain = True
                raise PlainAttempt
        try:
            return self._socket.recv_into(buffer, size)
        except ssl.SSLWantReadError:
            raise Blocked(selectors.EVENT_READ) from None
        except ssl.SSLWantWriteError:
            raise Blocked(selectors.EVENT_WRITE) from None

    def send(self, data: memoryview) -> int:
        """Send some of the bytes, and return how many. Raises OSError."""
        if self._plain:
            return socket.socket.send(self._socket, data)
        try:
            return self._socket.send(data)
        except ssl.SSLWantReadError:
            raise Blocked(selectors.EVENT_READ) from None
        except ssl.SSLWantWriteError:
            raise Blocked(selectors.EVENT_WRITE) from None

    def finish(self) -> None:
        """Send the end of TLS, and of the stream. What is received from now on is as it came. Raises OSError."""
        if not self._plain:
            self._plain = True
            try:
                self._socket.unwrap()
            except (OSError, ValueError):
                pass  # what it waits for is the end that the client sends
        socket.socket.shutdown(self._socket, socket.SHUT_WR)

    def shutdown(self, how: int) -> None:
        """Shut down the connection below. May be called on any thread. Raises OSError."""
        # That of SSLSocket would end TLS first: what its thread reads after that would be as it came.
        socket.socket.shutdown(self._socket, how)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
