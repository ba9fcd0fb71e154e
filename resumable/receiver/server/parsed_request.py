"""Parse the head of a request with cheroot, which reads everything that HTTP/1 allows, and refuse what is malformed."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import dataclass, field
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

from .connection import Connection, RequestBody
from .exposition import MetricsApplication
from .wsgi import Application

__all__ = ["Environment", "ParsedRequest"]

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


@dataclass
class _Client:
    """What cheroot asks of a connection: ``rfile`` has the head of the request, and nothing behind it."""

    rfile: io.BytesIO
    remote_addr: str
    remote_port: int
    ssl_env: dict[str, str] = field(default_factory=dict)


class ParsedRequest(HTTPRequest):
    """A request that cheroot parses. ``refuse(status, sentence)`` answers one that is malformed.

    ``close_connection`` says whether the connection ends after the answer.
    """

    body: RequestBody

    def __init__(
        self,
        head: bytes,
        connection: Connection,
        environment: Environment,
        address: Any,
        refuse: Callable[[int, str], object],
    ) -> None:
        super().__init__(environment, _Client(io.BytesIO(head), *address[:2]))
        self.header_reader = _Headers(connection.limits.header_count)
        if connection.secure:
            self.scheme = b"https"
        self._connection = connection
        self._refuse = refuse

    def parse(self) -> bool:
        """Parse the request, and refuse it if it is malformed. Return whether the application has to answer it."""
        try:
            self.parse_request()
        except ValueError:
            self.simple_response("400 Bad Request", "The URL of the request is malformed.")
        return bool(self.ready)

    @property
    def is_old(self) -> bool:
        """Whether this is a request of HTTP/1.0."""
        return bool(self.response_protocol == "HTTP/1.0")

    def variables(self) -> dict[str, Any]:
        """Return the environment of WSGI (PEP 3333), but for the body."""
        variables: dict[str, Any] = Gateway_10(self).env
        return variables

    def read_request_headers(self) -> bool:
        """Read the header fields. Return whether the request may go on to the application."""
        if not super().read_request_headers():  # type: ignore[no-untyped-call]
            return False
        modern = self.request_protocol == b"HTTP/1.1"
        if modern and b"Host" not in self.inheaders:
            self.simple_response("400 Bad Request", "The header field Host is missing.")
            return False
        said = {option.strip() for option in self.inheaders.get(b"Connection", b"").lower().split(b",")}
        self.close_connection = b"close" in said or not (modern or b"keep-alive" in said)
        expected = modern and self.header_reader.expectation == b"100-continue"
        if expected:
            self.inheaders[b"Expect"] = b"100-continue"
        length = int(self.inheaders.get(b"Content-Length", 0))
        self.body = RequestBody(self._connection, length, expected=expected)
        return True

    def simple_response(self, status: str, msg: str = "") -> None:
        """Refuse a malformed request, and close the connection. cheroot calls this, too."""
        code = int(status[:3])
        self._refuse(code, _SENTENCES.get(code) or msg or status[4:])
        self.close_connection = True


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
