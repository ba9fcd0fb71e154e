"""A request as :mod:`support.scripted_server` has it, and what can be done about it."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from .breaking_proxy import reset

if TYPE_CHECKING:
    from .scripted_server import ScriptedServer, _Connection

__all__ = ["Answer", "Request", "Step", "head"]


class Request:
    """A request, and what is done about it. ``connection`` counts from 0; ``headers`` have names in lower case."""

    def __init__(self, server: ScriptedServer, line: _Connection, text: str) -> None:
        first, *lines = text.split("\r\n")
        self.method, self.target, _ = first.split(" ", 2)
        parts = urlsplit(self.target)
        self.path = parts.path
        self.query = parse_qsl(parts.query, keep_blank_values=True)
        self.raw_headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        self.headers = {name.lower(): value for name, value in self.raw_headers}
        self.body = b""
        self.form: list[tuple[str, str]] = []
        self.fields = dict(self.query)
        """The parameters of the query and of the form together."""
        self.part_type: str | None = None
        self.part_name: str | None = None
        self.file_name: str | None = None
        self.chunk: bytes | None = None if self.method in ("GET", "HEAD") else b""
        """The bytes of the chunk: the body, or the file in the form; None if the request asks for one."""
        self.connection = line.number
        self.socket = line.socket
        self.stopping = server.stopping
        self.answered = False
        self.over = False
        """Whether nothing more is read from the connection."""
        self.gone = threading.Event()
        """Set when the client has left before it was answered."""
        self._line = line
        self._server = server
        self._whole = False
        self._ended = False

    @property
    def parameters(self) -> dict[str, str]:
        """The parameters of the query."""
        return dict(self.query)

    @property
    def number(self) -> int:
        """The number of the chunk, from 1."""
        return int(self.fields["resumableChunkNumber"])

    @property
    def identifier(self) -> str:
        """The identifier of the file."""
        return self.fields["resumableIdentifier"]

    def read(self) -> None:
        """Read the body. Raises ConnectionAbortedError if the client ends before."""
        if self._whole:
            return
        length = int(self.headers.get("content-length", 0))
        self.body = self._line.take(length)
        if len(self.body) < length:
            raise ConnectionAbortedError("the body is not whole")
        self._whole = True
        if self.chunk is not None:
            self.chunk = self.body
        content_type = self.headers.get("content-type", "")
        if content_type.startswith("multipart/form-data"):
            self._read_form(content_type.partition("boundary=")[2].strip('"'))
            self.fields = dict([*self.form, *self.query])

    def _read_form(self, boundary: str) -> None:
        for part in self.body.split(b"--" + boundary.encode())[1:-1]:
            head, _, content = part[2:].partition(b"\r\n\r\n")
            content = content[:-2]
            text = head.decode("utf-8", "surrogateescape")
            name = re.search(r'; name="([^"]*)"', text)[1]  # type: ignore[index]
            file_name = re.search(r'; filename="([^"]*)"', text)
            if file_name is None and not content.startswith(b"data:"):
                self.form.append((name, content.decode("utf-8")))
                continue
            self.part_name, self.file_name, self.chunk = name, file_name and file_name[1], content
            kind = re.search(r"Content-Type: ([^\r\n]*)", text)
            self.part_type = kind and kind[1]

    def answer(self, status: int = 200, body: str | bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        """Send a whole answer. Any thread may call this; nothing happens if there was one, or the client has left."""
        payload = body.encode() if isinstance(body, str) else body
        fields = {} if status in (204, 304) else {"Content-Length": str(len(payload))}
        data = head(status, {**fields, **(headers or {})}) + payload
        with self._server.condition:
            if self._ended or self.gone.is_set():
                return
            self.answered = self._ended = True
        try:
            self.socket.sendall(data)
        except OSError:
            pass  # the client has left meanwhile

    def cut(self) -> None:
        """End the connection without an answer. Any thread may call this."""
        self._line.end()

    def send(self, data: bytes) -> None:
        """Send these bytes, of which an answer may be made up."""
        self.answered = True
        self.socket.sendall(data)

    def close(self) -> None:
        """End the connection, in order: what was not read is read first, or the client would see a reset."""
        self.over = True
        self.socket.shutdown(socket.SHUT_WR)
        try:
            while self.socket.recv(65536):
                pass
        except OSError:
            pass
        self.socket.close()

    def reset(self) -> None:
        """Reset the connection."""
        self.over = True
        reset(self.socket)

    def hold(self) -> None:
        """Do nothing until the server stops."""
        self.over = True
        self.stopping.wait()

    def __repr__(self) -> str:
        return (
            f"<{self.method} {self.fields.get('resumableChunkNumber', '?')} of {self.fields.get('resumableFilename')}>"
        )


Answer = tuple[Any, ...]
"""(status,), (status, body) or (status, body, headers)."""

Step = Callable[[Request], Answer | None]


def head(status: int, headers: Mapping[str, str]) -> bytes:
    """The head of an answer."""
    phrase = HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "Reason"
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} {phrase}\r\n{lines}\r\n".encode("latin-1")
