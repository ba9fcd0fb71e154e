"""Answer the requests on one connection. cheroot parses those that are not plain; this module decides which of them are
malformed, and when the connection ends."""

from __future__ import annotations

import io
import logging
import re
import secrets
import sys
import time
from collections.abc import Callable
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import Any

try:
    from cheroot.server import HeaderReader, HTTPRequest
    from cheroot.wsgi import Gateway_10
    from cheroot.wsgi import Server as _Server
except ImportError as error:
    raise ImportError(
        "the server of the receiver needs the package 'cheroot'; install it with: pip install 'resumable[server]'",
        name="cheroot",
    ) from error

from ...protocol.headers import SERVER_HEADER, WIRE_VERSION
from .connection import Connection, HeadTooLong, RequestBody, TLSAttempt
from .exposition import MetricsApplication
from .head import read_plain_head
from .tls import PlainAttempt
from .wsgi import Application

__all__ = ["Environment", "Handler", "answer_busy"]

_log = logging.getLogger(__name__)

_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_LENGTH = re.compile(rb"[0-9]{1,19}")
_SENTENCES = {
    405: "This server is not a proxy: send the request to the server itself.",
    501: "The Transfer-Encoding is not supported: send a Content-Length instead.",
    505: "The HTTP version is not supported: use HTTP/1.1.",
}
"""What to say instead of cheroot's own words."""
_ONCE = frozenset({b"Authorization", b"Content-Length", b"Content-Type", b"Expect", b"Host", b"Origin"})


class Environment(_Server):
    """What cheroot's requests want to know about their server, without being one.

    ``stopping()`` says whether the next answer is the last one on its connection.
    """

    def __init__(
        self, application: Application | MetricsApplication, address: tuple[str, int], stopping: Callable[[], bool]
    ) -> None:
        super().__init__(address, application, server_name="resumable")
        self.software = "resumable"
        self._stopping = stopping

    def clear_stats(self) -> None:
        """Do nothing: cheroot would keep its statistics, and all that they refer to, for ever."""

    @property
    def can_add_keepalive_connection(self) -> bool:
        """Whether a connection is kept open for another request."""
        return not self._stopping()


class Handler:
    """Answers the requests on a connection, until either side ends it.

    ``idle(state)`` is called with True before waiting for a request and with False after it; it returns whether to go
    on.
    """

    def __init__(
        self, connection: Connection, environment: Environment, address: Any, idle: Callable[[bool], bool]
    ) -> None:
        self.connection = connection
        # What cheroot asks of a connection, besides ``write``.
        self.remote_addr, self.remote_port = address[:2]
        self.ssl_env: dict[str, str] = {}
        self.rfile = io.BytesIO()
        self.wfile = self
        self._environment = environment
        self._idle = idle
        self._variables = {
            "ACTUAL_SERVER_PROTOCOL": environment.protocol,
            "REMOTE_ADDR": self.remote_addr or "",
            "REMOTE_PORT": str(self.remote_port or ""),
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

    def write(self, data: bytes) -> None:
        """Keep what cheroot wants to send for the next flush."""
        self.connection.write(data)

    def run(self) -> None:
        """Answer all requests, and give the client time to read the last answer. Raises OSError if it leaves."""
        patience = self.connection.limits.header_timeout
        while self._idle(True):
            try:
                head = self.connection.read_head(patience)
            except TimeoutError:
                seconds = self.connection.limits.header_timeout
                self.refuse(408, f"The header of the request did not arrive within {seconds:g} seconds: try again.")
                kept = False
            except HeadTooLong:
                size = self.connection.limits.header_size
                self.refuse(431, f"The header of the request has more than {size} bytes: send a shorter one.")
                kept = False
            except TLSAttempt:
                _log.warning("%s tried to connect with TLS; this port speaks HTTP only: use http://", self.remote_addr)
                self.refuse(400, "This port does not speak TLS: use an http:// URL instead of https://.")
                kept = False
            except PlainAttempt:
                _log.warning("%s connected without TLS; this port speaks HTTPS only: use https://", self.remote_addr)
                self.refuse(400, "This port speaks TLS only: use an https:// URL instead of http://.")
                kept = False
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
        self.write(_refusal(status, sentence))

    def _answer(self, head: bytes) -> bool:
        """Answer the request with this head. Return whether the connection is kept."""
        plain = read_plain_head(head, self.connection.limits.header_count)
        if plain is not None:
            body = RequestBody(self.connection, plain.length, expected=False)
            return _Exchange(self, self._environment, body).respond(self._variables | plain.variables)
        self.rfile = io.BytesIO(head)
        request = _Request(self._environment, self)
        request.answer()
        return not request.close_connection


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
        self._handler.write(self._head + answer)
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


class _Headers(HeaderReader):
    """Reads header fields as RFC 9112 defines them, and nothing that two programs could read in two ways."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.expectation = b""

    def __call__(self, rfile: Any, hdict: Any = None) -> Any:
        fields = rfile.read()
        if fields != b"\r\n" and not fields.endswith(b"\r\n\r\n"):
            raise ValueError("The lines of the header do not end with CR LF.")
        lines = fields.split(b"\r\n")[:-2]
        if len(lines) > self._most:
            raise ValueError(f"The request has more than {self._most} header fields.")
        for line in lines:
            name, colon, value = line.partition(b":")
            value = value.strip(b" \t")
            if not colon or not _TOKEN.fullmatch(name) or _CONTROL.search(value):
                raise ValueError("A header field is malformed.")
            if b"_" in name:
                continue  # in a WSGI environment it would look like the name with a hyphen
            name = name.title()
            if name in hdict:
                if name in _ONCE:
                    raise ValueError(f"The header field {name.decode()} was sent twice.")
                value = b", ".join((hdict[name], value))
            hdict[name] = value
        if not _LENGTH.fullmatch(hdict.get(b"Content-Length", b"0")):
            raise ValueError("The Content-Length is not a number.")
        # cheroot would tell the client to continue at once, whether its body is wanted or not.
        self.expectation = hdict.pop(b"Expect", b"").lower()
        if b"Content-Length" in hdict and b"Transfer-Encoding" in hdict:
            raise ValueError("The request has both a Content-Length and a Transfer-Encoding.")
        return hdict


class _Request(HTTPRequest):
    body: RequestBody

    def __init__(self, server: Environment, handler: Handler) -> None:
        super().__init__(server, handler)
        self.header_reader = _Headers(handler.connection.limits.header_count)
        if handler.connection.secure:
            self.scheme = b"https"

    def answer(self) -> None:
        """Answer the request whose head is in ``rfile`` of the handler."""
        try:
            self.parse_request()
        except ValueError:
            self.simple_response("400 Bad Request", "The URL of the request is malformed.")
        if self.ready:
            exchange = _Exchange(
                self.conn, self.server, self.body, close=self.close_connection, old=self.response_protocol == "HTTP/1.0"
            )
            self.close_connection = not exchange.respond(Gateway_10(self).env)

    def read_request_headers(self) -> bool:
        """Read the header fields. Return whether the request may go on to the application."""
        if not super().read_request_headers():  # type: ignore[no-untyped-call]
            return False
        modern = self.request_protocol == b"HTTP/1.1"
        if modern and b"Host" not in self.inheaders:
            self.refuse(400, "The header field Host is missing.")
            return False
        said = {option.strip() for option in self.inheaders.get(b"Connection", b"").lower().split(b",")}
        self.close_connection = b"close" in said or not (modern or b"keep-alive" in said)
        expected = modern and self.header_reader.expectation == b"100-continue"
        if expected:
            self.inheaders[b"Expect"] = b"100-continue"
        length = int(self.inheaders.get(b"Content-Length", 0))
        self.body = RequestBody(self.conn.connection, length, expected=expected)
        return True

    def refuse(self, status: int, sentence: str) -> None:
        """Answer without the application, and close the connection."""
        self.conn.refuse(status, sentence)
        self.close_connection = True

    def simple_response(self, status: str, msg: str = "") -> None:
        """Refuse a request that cheroot itself finds wrong."""
        code = int(status[:3])
        self.refuse(code, _SENTENCES.get(code) or msg or status[4:])


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
