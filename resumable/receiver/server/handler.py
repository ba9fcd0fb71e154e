"""Answer the requests on one connection, and decide when it ends."""

from __future__ import annotations

import logging
import secrets
import sys
import time
from collections.abc import Callable
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import Any

from ...protocol.headers import SERVER_HEADER, WIRE_VERSION
from .connection import Connection, HeadTooLong, RequestBody, TLSAttempt
from .parsed_request import Environment, ParsedRequest
from .plain_head import read_plain_head
from .tls import PlainAttempt

__all__ = ["Handler", "answer_busy"]

_log = logging.getLogger(__name__)


class Handler:
    """Answers the requests on a connection, until either side ends it.

    ``idle(state)`` is called with True before waiting for a request and with False after it; it returns whether to go
    on.
    """

    def __init__(
        self, connection: Connection, environment: Environment, address: Any, idle: Callable[[bool], bool]
    ) -> None:
        self.connection = connection
        self._address = address
        self._environment = environment
        self._idle = idle
        self._variables = {
            "ACTUAL_SERVER_PROTOCOL": environment.protocol,
            "REMOTE_ADDR": address[0] or "",
            "REMOTE_PORT": str(address[1] or ""),
            "SCRIPT_NAME": "",
            "SERVER_NAME": environment.server_name,
            "SERVER_PORT": str(environment.bind_addr[1]),
            "SERVER_PROTOCOL": "HTTP/1.1",
            "SERVER_SOFTWARE": environment.software,
            "wsgi.errors": sys.stderr,
            "wsgi.input_terminated": False,
            "wsgi.multiprocess": False,
            "wsgi.multithread": True,
            "wsgi.run_once": False,
            "wsgi.url_scheme": "https" if connection.secure else "http",
            "wsgi.version": (1, 0),
        }

    def run(self) -> None:
        """Answer all requests, and give the client time to read the last answer. Raises OSError if it leaves."""
        patience = self.connection.limits.header_timeout
        while self._idle(True):
            kept = False
            try:
                head = self.connection.read_head(patience)
            except TimeoutError:
                seconds = self.connection.limits.header_timeout
                self.refuse(408, f"The header of the request did not arrive within {seconds:g} seconds: try again.")
            except HeadTooLong:
                size = self.connection.limits.header_size
                self.refuse(431, f"The header of the request has more than {size} bytes: send a shorter one.")
            except TLSAttempt:
                _log.warning("%s tried to connect with TLS; this port speaks HTTP only: use http://", self._address[0])
                self.refuse(400, "This port does not speak TLS: use an http:// URL instead of https://.")
            except PlainAttempt:
                _log.warning("%s connected without TLS; this port speaks HTTPS only: use https://", self._address[0])
                self.refuse(400, "This port speaks TLS only: use an https:// URL instead of http://.")
            else:
                if not head or not self._idle(False):
                    return
                kept = self._answer(head)
            self.connection.flush()
            if not kept:
                self.connection.linger()
                return
            patience = self.connection.limits.idle_timeout

    def refuse(self, status: int, sentence: str) -> None:
        """Answer without the application. The connection has to be closed after that."""
        self.connection.write(_refusal(status, sentence))

    def _answer(self, head: bytes) -> bool:
        """Answer the request with this head. Return whether the connection is kept."""
        plain = read_plain_head(head, self.connection.limits.header_count)
        if plain is not None:
            body = RequestBody(self.connection, plain.length, expected=False)
            return _Exchange(self, self._environment, body).respond(self._variables | plain.variables)
        request = ParsedRequest(head, self.connection, self._environment, self._address, self.refuse)
        if not request.parse():
            return not request.close_connection
        exchange = _Exchange(self, self._environment, request.body, close=request.close_connection, old=request.is_old)
        return exchange.respond(request.variables())


def answer_busy(connection: Connection) -> None:
    """Tell the client to try again in a second, without reading its request. Raises OSError."""
    connection.write(_refusal(503, "Too many clients are connected: try again later.", "Retry-After: 1\r\n"))
    connection.flush()
    connection.linger()


class _Exchange:
    """A request that the application answers. ``close`` says that the connection ends with it, and ``old`` that it is
    one of HTTP/1.0."""

    def __init__(
        self, handler: Handler, environment: Environment, body: RequestBody, *, close: bool = False, old: bool = False
    ) -> None:
        self._handler = handler
        self._environment = environment
        self._body = body
        self._close = close
        self._old = old
        self._head = b""

    def respond(self, variables: dict[str, Any]) -> bool:
        """Send the answer of the application, which has a Content-Length unless it has no body, in one piece.

        Return whether the connection is kept.
        """
        variables["wsgi.input"] = self._body
        try:
            answer = b"".join(self._environment.wsgi_app(variables, self._start_response))
        except Exception as error:
            number = secrets.token_hex(4)
            _log.exception("request %s failed: %s: %s", number, type(error).__name__, error)
            self._handler.refuse(500, f"The server failed: see request {number} in its log.")
            return False
        self._handler.connection.write(self._head + answer)
        return not self._close

    def _start_response(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
        """Make the head of the answer."""
        environment = self._environment
        # The rest of a body, or a body without a length, must never be read as the next request.
        if self._body.left or status.startswith(("411", "413")) or not environment.can_add_keepalive_connection:
            self._close = True
        lines = [f"HTTP/1.1 {status}", *map(": ".join, headers)]
        if self._close:
            lines.append("Connection: close")
        elif self._old:
            lines += ["Connection: Keep-Alive", f"Keep-Alive: timeout={environment.timeout}"]
        lines += [f"Date: {_date(int(time.time()))}", f"Server: {environment.server_name}\r\n\r\n"]
        self._head = "\r\n".join(lines).encode("latin-1")


@lru_cache(maxsize=1)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)


def _refusal(status: int, sentence: str, headers: str = "") -> bytes:
    body = f"{sentence}\n"
    return (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\n{headers}Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
        f"{SERVER_HEADER}: {WIRE_VERSION}\r\n"
        f"Date: {formatdate(usegmt=True)}\r\nServer: resumable\r\nConnection: close\r\n\r\n{body}"
    ).encode("latin-1", "replace")
