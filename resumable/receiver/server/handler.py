"""The requests on one connection and their answers. cheroot reads the requests and speaks WSGI; what it would let pass
and what it would do to the connection is decided here."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Callable
from email.utils import formatdate
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
from .connection import Body, Connection, HeadTooLong
from .wsgi import Application

__all__ = ["Environment", "Handler", "answer_busy"]

_log = logging.getLogger(__name__)

_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_LENGTH = re.compile(rb"[0-9]{1,19}")
_ONCE = frozenset({b"Authorization", b"Content-Length", b"Content-Type", b"Expect", b"Host", b"Origin"})


class Environment(_Server):
    """What cheroot's requests want to know of their server, which this never is.

    ``stopping()`` says whether the next answer is the last one on its connection.
    """

    def __init__(self, application: Application, address: tuple[str, int], stopping: Callable[[], bool]) -> None:
        super().__init__(address, application, server_name="resumable")
        self.software = "resumable"
        self._stopping = stopping

    def clear_stats(self) -> None:
        """There are none; cheroot would keep them, and all that they know, for ever."""

    @property
    def can_add_keepalive_connection(self) -> bool:
        """Whether a connection is kept for another request."""
        return not self._stopping()


class Handler:
    """Answers what comes over a connection, until either side has had enough.

    ``idle(state)`` is told when a request is waited for and when that is over, and says whether to go on.
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

    def write(self, data: bytes) -> None:
        """What cheroot has to send."""
        self.connection.write(data)

    def run(self) -> None:
        """All requests have been answered, and the client had the time to read that. Raises OSError where it left."""
        patience = self.connection.limits.header_timeout
        while self._idle(True):
            request = _Request(self._environment, self)
            try:
                head = self.connection.read_head(patience)
            except TimeoutError:
                request.refuse(408, "The header did not come in time.")
            except HeadTooLong:
                request.refuse(431, f"The header is longer than {self.connection.limits.header_size} bytes.")
            else:
                if not head or not self._idle(False):
                    return
                self.rfile = io.BytesIO(head)
                request.answer()
            self.connection.flush()
            if request.close_connection:
                self.connection.linger()
                return
            patience = self.connection.limits.idle_timeout


def answer_busy(connection: Connection) -> None:
    """The client is told to come back in a second, whatever it wants. Raises OSError."""
    connection.write(_refusal(503, "Too many clients are connected.", "Retry-After: 1\r\n"))
    connection.flush()
    connection.linger()


class _Gateway(Gateway_10):
    def __init__(self, request: _Request) -> None:
        super().__init__(request)
        self.env["wsgi.input"] = request.body

    def start_response(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        # What is left of a body, or came without a length, must never be read as the next request.
        if self.req.body.left or status.startswith("411"):
            self.req.close_connection = True
        return super().start_response(status, headers, exc_info)


class _Headers(HeaderReader):
    """Takes header fields as RFC 9112 has them, and nothing that two programs could read in two ways."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.expectation = b""

    def __call__(self, rfile: Any, hdict: Any = None) -> Any:
        fields = rfile.read()
        if fields != b"\r\n" and not fields.endswith(b"\r\n\r\n"):
            raise ValueError("The lines of the header do not end as they should.")
        lines = fields.split(b"\r\n")[:-2]
        if len(lines) > self._most:
            raise ValueError(f"The request has more than {self._most} header fields.")
        for line in lines:
            name, colon, value = line.partition(b":")
            value = value.strip(b" \t")
            if not colon or not _TOKEN.fullmatch(name) or _CONTROL.search(value):
                raise ValueError("A header field is malformed.")
            if b"_" in name:
                continue  # in the environment of WSGI it would be the same as with a hyphen
            name = name.title()
            if name in hdict:
                if name in _ONCE:
                    raise ValueError(f"The header field {name.decode()} is there twice.")
                value = b", ".join((hdict[name], value))
            hdict[name] = value
        if not _LENGTH.fullmatch(hdict.get(b"Content-Length", b"0")):
            raise ValueError("The Content-Length is not a number.")
        # cheroot would tell the client to continue here and now, wanted or not.
        self.expectation = hdict.pop(b"Expect", b"").lower()
        if b"Content-Length" in hdict and b"Transfer-Encoding" in hdict:
            raise ValueError("The request has both a Content-Length and a Transfer-Encoding.")
        return hdict


class _Request(HTTPRequest):
    body: Body

    def __init__(self, server: Environment, conversation: Handler) -> None:
        super().__init__(server, conversation)
        self.header_reader = _Headers(conversation.connection.limits.header_count)

    def answer(self) -> None:
        """The answer to the request in ``rfile`` of the connection is written."""
        try:
            self.parse_request()
        except ValueError:
            self.simple_response("400 Bad Request", "The address is malformed.")
        if not self.ready:
            return
        try:
            _Gateway(self).respond()
        except Exception:
            _log.exception("a request failed")
            self.close_connection = True
            if not self.sent_headers:
                self.refuse(500, "The server failed; its log says why.")

    def read_request_headers(self) -> bool:
        """Whether the request may go on to the application."""
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
        self.body = Body(self.conn.connection, length, expected=expected)
        return True

    def refuse(self, status: int, sentence: str) -> None:
        """Answer without asking the application, and close the connection."""
        self.conn.write(_refusal(status, sentence))
        self.close_connection = True

    def simple_response(self, status: str, msg: str = "") -> None:
        """What cheroot itself finds wrong."""
        self.refuse(int(status[:3]), msg or status[4:])


def _refusal(status: int, sentence: str, headers: str = "") -> bytes:
    body = f"{sentence}\n"
    return (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\n{headers}Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
        f"{SERVER_HEADER}: {WIRE_VERSION}\r\n"
        f"Date: {formatdate(usegmt=True)}\r\nServer: resumable\r\nConnection: close\r\n\r\n{body}"
    ).encode("latin-1", "replace")
